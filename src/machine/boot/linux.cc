// Linux kernels by the 16-bit boot protocol. Documentation/arch/x86/boot.rst, "The real-mode kernel header",
// "Memory layout", "Running the kernel".
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "machine/boot/plan.h"

namespace rhea::machine::boot {
namespace {

// Offsets in the file of the header's fields.
constexpr size_t kSetupSects = 0x1f1, kVidMode = 0x1fa, kBootFlag = 0x1fe, kHeaderMagic = 0x202,
                 kVersion = 0x206, kTypeOfLoader = 0x210, kLoadFlags = 0x211, kRamdiskImage = 0x218,
                 kRamdiskSize = 0x21c, kHeapEnd = 0x224, kCmdLinePtr = 0x228, kInitrdAddrMax = 0x22c,
                 kCmdlineSize = 0x238;
constexpr size_t kMinimumFile = 0x250, kSector = 512;
constexpr uint8_t kLoadedHigh = 1, kCanUseHeap = 0x80;
constexpr uint8_t kLoaderId = 0xff;  // no number has been assigned to us
// Protocols before 2.00 keep the command line behind the setup code and point to it from the boot sector.
constexpr size_t kOldCmdLineMagic = 0x20, kOldCmdLineOffset = 0x22;
constexpr uint16_t kOldCmdLineValue = 0xa33f;

constexpr uint32_t kHighSetup = 0x10000, kHighCmdLine = 0x20000, kHighKernel = 0x100000;
constexpr uint32_t kLowSetup = 0x90000, kLowCmdLineEnd = 0x9a000, kLowKernel = 0x10000;
constexpr size_t kSetupRoom = 0xa000;  // what the stack and heap above may not lose
constexpr uint32_t kOldCmdLineMax = 256, kDefaultInitrdMax = 0x37ffffff, kCmdLineRoom = 0x10000;

uint64_t get(const Bytes& from, size_t at, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++) value |= uint64_t{from.at(at + i)} << (8 * i);
  return value;
}

void put(Bytes& to, size_t at, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) to.at(at + i) = static_cast<uint8_t>(value >> (8 * i));
}

// "vga=" on the command line is a boot loader's option. Anything unreadable leaves the kernel's default.
void apply_vga_option(Bytes& setup, const std::string& command_line) {
  size_t at = 0;
  while ((at = command_line.find("vga=", at)) != std::string::npos) {
    if (at != 0 && command_line[at - 1] != ' ') {
      at += 4;
      continue;
    }
    std::string value = command_line.substr(at + 4, command_line.find(' ', at) - at - 4);
    if (value == "normal") {
      put(setup, kVidMode, 0xffff, 2);
    } else if (value == "ext") {
      put(setup, kVidMode, 0xfffe, 2);
    } else if (value == "ask") {
      put(setup, kVidMode, 0xfffd, 2);
    } else if (!value.empty() && std::isdigit(static_cast<unsigned char>(value[0])) != 0) {
      put(setup, kVidMode, std::strtoul(value.c_str(), nullptr, 0) & 0xffff, 2);
    }
    return;
  }
}

// At the top of what the kernel and RAM allow, page aligned.
Result<> place_initrd(Plan& plan, Request& request, uint64_t highest) {
  Module& initrd = request.modules[0];
  uint64_t end = std::min(load_limit(request.low_ram_end), highest + 1);
  uint64_t kernel_end = plan.kernel.address + plan.kernel.size();
  if (initrd.size() > end || ((end - initrd.size()) & ~uint64_t{0xfff}) < kernel_end) {
    return fail(ErrorKind::NoSpace,
                fmt::format("the initrd of {} bytes does not fit between the kernel's end at {:#x} "
                            "and {:#x}; give the machine more memory",
                            initrd.size(), kernel_end, end));
  }
  plan.initrd.address = static_cast<uint32_t>((end - initrd.size()) & ~uint64_t{0xfff});
  plan.initrd.data = std::move(initrd.data);
  plan.initrd.file = std::move(initrd.file);
  return {};
}

void set_command_line(Plan& plan, const Request& request, unsigned version) {
  const std::string& text = request.command_line;
  plan.command_line.data.assign(text.begin(), text.end());
  plan.command_line.data.push_back(0);
  if (version >= 0x202) {
    put(plan.setup.data, kCmdLinePtr, plan.command_line.address, 4);
  } else {
    put(plan.setup.data, kOldCmdLineMagic, kOldCmdLineValue, 2);
    put(plan.setup.data, kOldCmdLineOffset, plan.command_line.address - plan.setup.address, 2);
  }
}

Result<unsigned> protocol_version(const Bytes& kernel) {
  if (kernel.size() < kMinimumFile || get(kernel, kBootFlag, 2) != 0xaa55) {
    return fail(ErrorKind::NotFound, "not a Linux kernel");
  }
  if (get(kernel, kHeaderMagic, 4) != 0x53726448) return 0u;  // "HdrS"
  return static_cast<unsigned>(get(kernel, kVersion, 2));
}

}  // namespace

Result<Plan> plan_linux(Request& request) {
  Bytes& kernel = request.kernel;
  unsigned version = TRY(protocol_version(kernel));
  size_t sectors = kernel[kSetupSects] == 0 ? 4 : kernel[kSetupSects];
  size_t setup_size = (sectors + 1) * kSector;
  if (setup_size > kSetupRoom || setup_size >= kernel.size()) {
    return fail(ErrorKind::Invalid, fmt::format("the kernel's {} setup sectors do not fit", sectors));
  }
  bool high = version >= 0x200 && (kernel[kLoadFlags] & kLoadedHigh) != 0;
  if (request.modules.size() > 1) return fail(ErrorKind::Unsupported, "a Linux kernel takes one initrd");
  if (!request.modules.empty() && version < 0x200) {
    return fail(ErrorKind::Unsupported, "this Linux kernel is too old to load an initrd");
  }
  uint64_t longest = version >= 0x206 ? get(kernel, kCmdlineSize, 4) : kOldCmdLineMax - 1;
  longest = std::min<uint64_t>(longest, kCmdLineRoom - 1);
  if (request.command_line.size() > longest) {
    return fail(ErrorKind::Invalid,
                fmt::format("the kernel command line is {} characters long; this kernel takes {}",
                            request.command_line.size(), longest));
  }

  Plan plan;
  plan.rom = OptionRom::LinuxBoot;
  plan.rom_name = "linuxboot.bin";
  plan.setup = {high ? kHighSetup : kLowSetup,
                Bytes(kernel.begin(), kernel.begin() + static_cast<ptrdiff_t>(setup_size))};
  plan.kernel.address = high ? kHighKernel : kLowKernel;
  if (request.kernel_file && request.kernel_file->size() == kernel.size()) {
    plan.kernel.file = std::move(request.kernel_file);
    plan.kernel.file_begin = setup_size;
  } else {
    plan.kernel.data.assign(kernel.begin() + static_cast<ptrdiff_t>(setup_size), kernel.end());
  }
  Bytes().swap(kernel);
  uint32_t line_size = static_cast<uint32_t>((request.command_line.size() + 1 + 15) & ~size_t{15});
  if (!high && setup_size + line_size + 0x1000 > kLowCmdLineEnd - kLowSetup) {
    return fail(ErrorKind::Invalid, "the kernel's setup code and command line do not fit below 640 KiB");
  }
  plan.command_line.address = high ? kHighCmdLine : kLowCmdLineEnd - line_size;
  uint64_t room = high ? load_limit(request.low_ram_end) : kLowSetup;
  if (plan.kernel.address + plan.kernel.size() > room) {
    return fail(ErrorKind::NoSpace,
                fmt::format("the kernel of {} bytes does not fit below {:#x}", plan.kernel.size(), room));
  }
  set_command_line(plan, request, version);
  apply_vga_option(plan.setup.data, request.command_line);
  if (version >= 0x200) plan.setup.data[kTypeOfLoader] = kLoaderId;
  if (version >= 0x201) {
    plan.setup.data[kLoadFlags] = static_cast<uint8_t>(plan.setup.data[kLoadFlags] | kCanUseHeap);
    put(plan.setup.data, kHeapEnd, plan.command_line.address - plan.setup.address - 0x200, 2);
  }
  if (!request.modules.empty()) {
    uint64_t highest = version >= 0x203 ? get(plan.setup.data, kInitrdAddrMax, 4) : kDefaultInitrdMax;
    TRY(place_initrd(plan, request, highest));
    put(plan.setup.data, kRamdiskImage, plan.initrd.address, 4);
    put(plan.setup.data, kRamdiskSize, plan.initrd.size(), 4);
  }
  return plan;
}

}  // namespace rhea::machine::boot
