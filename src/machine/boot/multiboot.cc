// Multiboot kernels. Multiboot Specification 0.6.96: 3.1 header, 3.2 machine state, 3.3 boot information.
// Missing: video modes (flag 2), as the specification allows a loader to lack them only if the kernel does
// not ask.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "machine/boot/elf.h"
#include "machine/boot/flat_setup.h"
#include "machine/boot/plan.h"

namespace rhea::machine::boot {
namespace {

constexpr uint32_t kHeaderMagic = 0x1badb002, kLoaderMagic = 0x2badb002;
constexpr size_t kSearched = 8192;
constexpr uint32_t kNeedVideo = 1 << 2, kHasAddresses = 1 << 16, kRequiredMask = 0xffff, kKnownRequired = 3;
constexpr uint64_t kPage = 4096, kOneMiB = 0x100000;
// Boot information: offsets and flags (3.3).
constexpr size_t kInfoSize = 120, kMemLower = 4, kBootDevice = 12, kCmdline = 16, kModsCount = 20,
                 kModsAddr = 24, kMmapLength = 44, kMmapAddr = 48, kLoaderName = 64;
constexpr uint32_t kFlagMem = 1, kFlagBootDevice = 2, kFlagCmdline = 4, kFlagMods = 8, kFlagMmap = 64,
                   kFlagLoaderName = 512;
constexpr uint32_t kFirstDisk = 0x8000ffff;

uint32_t le32(const Bytes& from, size_t at) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; i++) value |= uint32_t{from.at(at + i)} << (8 * i);
  return value;
}

std::optional<size_t> find_header(const Bytes& kernel) {
  for (size_t at = 0; at + 12 <= std::min(kernel.size(), kSearched); at += 4) {
    if (le32(kernel, at) != kHeaderMagic) continue;
    if (le32(kernel, at) + le32(kernel, at + 4) + le32(kernel, at + 8) == 0) return at;
  }
  return std::nullopt;
}

struct Loaded {
  FlatImage image;
  uint32_t entry;
};

// The address fields (3.1.3) place a flat binary: file offsets follow from where the header lies.
Result<Loaded> load_by_addresses(const Bytes& kernel, size_t header, uint64_t limit) {
  if (kernel.size() < header + 32) return fail(ErrorKind::Invalid, "the Multiboot header is cut off");
  uint64_t header_addr = le32(kernel, header + 12), load = le32(kernel, header + 16),
           load_end = le32(kernel, header + 20), bss_end = le32(kernel, header + 24);
  if (header_addr < load || header_addr - load > header) {
    return fail(ErrorKind::Invalid,
                "the Multiboot header's load address does not match its place in the file");
  }
  uint64_t first = header - (header_addr - load);
  uint64_t size = load_end == 0 ? kernel.size() - first : load_end - load;
  if ((load_end != 0 && load_end < load) || size > kernel.size() - first) {
    return fail(ErrorKind::Invalid, "the Multiboot header's load end is outside the file");
  }
  uint64_t memory = bss_end == 0 ? size : bss_end - load;
  if ((bss_end != 0 && bss_end < load) || memory < size) {
    return fail(ErrorKind::Invalid, "the Multiboot header's bss ends before the data");
  }
  if (load < kOneMiB || load >= limit || memory > limit - load) {
    return fail(ErrorKind::NoSpace, fmt::format("the kernel wants {:#x} bytes at {:#x}", memory, load));
  }
  Loaded loaded{{static_cast<uint32_t>(load), std::vector<uint8_t>(memory)}, le32(kernel, header + 28)};
  std::copy_n(kernel.begin() + static_cast<ptrdiff_t>(first), size, loaded.image.data.begin());
  return loaded;
}

Result<Loaded> load_elf(const Bytes& kernel, uint64_t limit) {
  ElfImage elf = TRY(read_elf(kernel));
  if (elf.is64)
    return fail(ErrorKind::Unsupported, "a Multiboot kernel must be a 32-bit ELF file, this one is 64-bit");
  return Loaded{TRY(flatten(elf, limit)), static_cast<uint32_t>(elf.physical_entry())};
}

// Modules follow the kernel, each on a page of its own.
Result<> place_modules(Plan& plan, FlatSetup& setup, size_t info, const Request& request, uint64_t limit) {
  if (request.modules.empty()) return {};
  uint64_t start = (plan.kernel.address + plan.kernel.data.size() + kPage - 1) & ~(kPage - 1);
  size_t table = setup.reserve(16 * request.modules.size());
  plan.initrd.address = static_cast<uint32_t>(start);
  for (size_t i = 0; i < request.modules.size(); i++) {
    const Module& module = request.modules[i];
    uint64_t offset = (plan.initrd.data.size() + kPage - 1) & ~(kPage - 1);
    if (start + offset > limit || module.size() > limit - start - offset) {
      return fail(ErrorKind::NoSpace,
                  fmt::format("module {} of {} bytes does not fit into RAM", i, module.size()));
    }
    plan.initrd.data.resize(offset + module.size());
    std::span<uint8_t> there = std::span(plan.initrd.data).subspan(offset);
    if (module.file) {
      module.file->read(0, there);
    } else {
      std::copy(module.data.begin(), module.data.end(), there.begin());
    }
    setup.put32(table + 16 * i, static_cast<uint32_t>(start + offset));
    setup.put32(table + 16 * i + 4, static_cast<uint32_t>(start + offset + module.size()));
    setup.put32(table + 16 * i + 8, FlatSetup::address(setup.add_string(module.command_line)));
  }
  setup.put32(info + kModsCount, static_cast<uint32_t>(request.modules.size()));
  setup.put32(info + kModsAddr, FlatSetup::address(table));
  return {};
}

}  // namespace

Result<Plan> plan_multiboot(Request& request) {
  std::optional<size_t> header = find_header(request.kernel);
  if (!header) return fail(ErrorKind::NotFound, "not a Multiboot kernel");
  uint32_t flags = le32(request.kernel, *header + 4);
  if ((flags & kNeedVideo) != 0)
    return fail(ErrorKind::Unsupported, "the Multiboot kernel asks for a video mode");
  if ((flags & kRequiredMask & ~kKnownRequired) != 0) {
    return fail(ErrorKind::Unsupported,
                fmt::format("the Multiboot kernel requires unknown features ({:#x})", flags));
  }
  uint64_t limit = load_limit(request.low_ram_end);
  Loaded loaded = (flags & kHasAddresses) != 0 ? TRY(load_by_addresses(request.kernel, *header, limit))
                                               : TRY(load_elf(request.kernel, limit));
  Plan plan;
  plan.rom = OptionRom::FlatBoot;
  plan.rom_name = "multiboot.bin";
  plan.kernel = {loaded.image.address, std::move(loaded.image.data)};

  FlatSetup setup;
  size_t info = setup.reserve(kInfoSize);
  setup.put32(info, kFlagMem | kFlagBootDevice | kFlagCmdline | kFlagMods | kFlagMmap | kFlagLoaderName);
  setup.put32(info + kBootDevice, kFirstDisk);
  setup.put32(info + kCmdline, FlatSetup::address(setup.add_string(request.command_line)));
  setup.put32(info + kLoaderName, FlatSetup::address(setup.add_string("rhea")));
  size_t map = setup.reserve(FlatSetup::kRecordStride * FlatSetup::kMaxRecords);
  for (unsigned i = 0; i < FlatSetup::kMaxRecords; i++) setup.put32(map + FlatSetup::kRecordStride * i, 20);
  setup.put32(info + kMmapAddr, FlatSetup::address(map));
  setup.set_memory_map(map + 4, info + kMmapLength, FlatSetup::kRecordStride);
  setup.set_mem_lower(info + kMemLower);
  setup.set_registers(kLoaderMagic, FlatSetup::address(info), loaded.entry);
  TRY(place_modules(plan, setup, info, request, limit));
  if (!setup.fits())
    return fail(ErrorKind::Invalid, "the command lines of the kernel and its modules are too long");
  plan.setup = {FlatSetup::kAddress, setup.take()};
  return plan;
}

}  // namespace rhea::machine::boot
