// rhea-system-x86_64: runs one virtual machine from a QEMU-style command line.
#include "base/log.h"
#include "tools/system/run.h"

int main(int argc, char** argv) {
  rhea::set_program_name(argv[0]);
  auto options = rhea::system::parse_command_line({argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)});
  if (!options) {
    rhea::error_line(options.error().message());
    return 1;
  }
  auto status = rhea::system::run_machine(*options);
  if (!status) {
    rhea::error_line(status.error().message());
    return 1;
  }
  return *status;
}
