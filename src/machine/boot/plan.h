// Direct kernel boot: from the user's files to what the machine presents through fw_cfg, so that one of our
// option ROMs, run by the firmware as a boot entry, can put everything in place and start it.
//
// Linux boot protocol 2.x and older (Documentation/arch/x86/boot.rst), Multiboot 0.6.96, PVH (x86/HVM direct
// boot ABI). Kernel files are hostile: every field is checked before use. Threading: pure functions, called
// while the machine is built.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file_bytes.h"
#include "base/result.h"
#include "machine/boot/option_rom.h"

namespace rhea::machine::boot {

using Bytes = std::vector<uint8_t>;

// A file loaded next to the kernel. Linux and PVH take one (the initrd), Multiboot any number (modules).
struct Module {
  Bytes data;
  std::string command_line;
  std::shared_ptr<const FileBytes> file{};  // then `data` is empty
  uint64_t size() const { return file ? file->size() : data.size(); }
};

struct Request {
  Bytes kernel;
  std::shared_ptr<const FileBytes> kernel_file{};  // or null; what is in `kernel`
  std::string command_line;
  std::vector<Module> modules;
  uint64_t low_ram_end = 0;  // RAM below 4 GiB ends here
};

// One piece of guest memory that the option ROM fills.
struct Blob {
  uint32_t address = 0;
  Bytes data;
  std::shared_ptr<const FileBytes> file{};  // then `data` is empty: it is the file's bytes from file_begin on
  uint64_t file_begin = 0;
  uint64_t size() const { return file ? file->size() - file_begin : data.size(); }
};

struct Plan {
  OptionRom rom = OptionRom::LinuxBoot;
  std::string rom_name;  // below genroms/
  Blob setup, command_line, kernel, initrd;
};

// Recognises the kernel's kind and lays it out; the request's data moves into the plan. Errors: Invalid (not
// a kernel, damaged), NoSpace (RAM too small), Unsupported (asks for what we have not).
Result<Plan> plan_kernel(Request request);

// What plan_kernel() chooses between. NotFound: the file is of another kind, and the request is as it was.
Result<Plan> plan_linux(Request& request);
Result<Plan> plan_multiboot(Request& request);
Result<Plan> plan_pvh(Request& request);

// Firmware keeps its tables in the last part of low RAM: nothing is loaded above this.
uint64_t load_limit(uint64_t low_ram_end);

}  // namespace rhea::machine::boot
