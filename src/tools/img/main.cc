// rhea-img: makes, inspects and converts disk images, with the command line of qemu-img 7.2.
#include <fmt/core.h>
#include <signal.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/log.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/option_help.h"

namespace rhea::img {
namespace {

int complain(const Error& error, int status) {
  std::fflush(stdout);
  error_line(error.message());
  return status;
}

// The options before the command. Returns an exit status if there is nothing more to do.
Result<std::optional<int>> standard_options(Words words, size_t& used) {
  while (used < words.size() && words[used].starts_with("-") && words[used].size() > 1) {
    const std::string& word = words[used++];
    if (word == "-h" || word == "--help") {
      print(help_text());
      return 0;
    }
    if (word == "-V" || word == "--version") {
      print(version_text());
      return 0;
    }
    return usage(fmt::format("unrecognized option '{}'", word));
  }
  return std::nullopt;
}

int run(Words words) {
  size_t used = 0;
  const auto done = standard_options(words, used);
  if (!done) return complain(done.error(), 1);
  if (*done) return **done;
  if (used == words.size()) return complain(usage("Not enough arguments").error(), 1);
  const std::string& name = words[used++];
  for (const Command& command : commands()) {
    if (name != command.name) continue;
    set_current_command(name);
    const auto status = command.run(words.subspan(used));
    if (status) return *status;
    const bool is_usage = status.error().text().ends_with("for more information");
    return complain(status.error(), is_usage ? 1 : command.failure);
  }
  return complain(usage(fmt::format("Command not found: {}", name)).error(), 1);
}

}  // namespace
}  // namespace rhea::img

int main(int argc, char** argv) {
  // A file that may not grow is an error of the call that tries, with a message.
  ::signal(SIGXFSZ, SIG_IGN);
  rhea::set_program_name(argc > 0 ? argv[0] : "rhea-img");
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int status = rhea::img::run(words);
  return std::fflush(stdout) == 0 ? status : 1;
}
