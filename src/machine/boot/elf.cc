// See elf.h.
#include "machine/boot/elf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace rhea::machine::boot {
namespace {

constexpr uint8_t kMagic[4] = {0x7f, 'E', 'L', 'F'};
constexpr uint16_t kMachine386 = 3, kMachineX86_64 = 62;
constexpr uint32_t kLoad = 1, kNote = 4;
constexpr uint64_t kOneMiB = 0x100000;
constexpr unsigned kMaxHeaders = 1024;

std::optional<std::span<const uint8_t>> slice(std::span<const uint8_t> from, uint64_t offset, uint64_t size) {
  if (offset > from.size() || size > from.size() - offset) return std::nullopt;
  return from.subspan(offset, size);
}

uint64_t le(std::span<const uint8_t> from, size_t offset, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++) value |= uint64_t{from[offset + i]} << (8 * i);
  return value;
}

struct ProgramHeader {
  uint32_t type;
  uint64_t offset, vaddr, paddr, file_size, memory_size, align;
};

ProgramHeader program_header(std::span<const uint8_t> h, bool is64) {
  if (is64) {
    return {static_cast<uint32_t>(le(h, 0, 4)),
            le(h, 8, 8),
            le(h, 16, 8),
            le(h, 24, 8),
            le(h, 32, 8),
            le(h, 40, 8),
            le(h, 48, 8)};
  }
  return {static_cast<uint32_t>(le(h, 0, 4)),
          le(h, 4, 4),
          le(h, 8, 4),
          le(h, 12, 4),
          le(h, 16, 4),
          le(h, 20, 4),
          le(h, 28, 4)};
}

}  // namespace

bool is_elf(std::span<const uint8_t> file) {
  return file.size() >= 52 && std::equal(kMagic, kMagic + 4, file.begin());
}

Result<ElfImage> read_elf(std::span<const uint8_t> file) {
  if (!is_elf(file)) return fail(ErrorKind::Invalid, "not an ELF file");
  ElfImage image;
  if (file[4] != 1 && file[4] != 2)
    return fail(ErrorKind::Invalid, fmt::format("ELF class {} is unknown", file[4]));
  if (file[5] != 1) return fail(ErrorKind::Invalid, "the ELF file is not little-endian");
  image.is64 = file[4] == 2;
  if (image.is64 && file.size() < 64) return fail(ErrorKind::Invalid, "the ELF header is cut off");
  uint16_t machine = static_cast<uint16_t>(le(file, 18, 2));
  if (machine != kMachine386 && machine != kMachineX86_64) {
    return fail(ErrorKind::Invalid, fmt::format("the ELF file is for machine {}, not x86", machine));
  }
  image.entry = image.is64 ? le(file, 24, 8) : le(file, 24, 4);
  uint64_t table = image.is64 ? le(file, 32, 8) : le(file, 28, 4);
  size_t size = le(file, image.is64 ? 54 : 42, 2), count = le(file, image.is64 ? 56 : 44, 2);
  if (size < (image.is64 ? 56u : 32u) || count > kMaxHeaders) {
    return fail(ErrorKind::Invalid,
                fmt::format("the ELF file has {} program headers of {} bytes", count, size));
  }
  for (size_t i = 0; i < count; i++) {
    if (table > file.size()) return fail(ErrorKind::Invalid, "the ELF program headers are outside the file");
    auto header = slice(file, table + i * size, size);
    if (!header) return fail(ErrorKind::Invalid, "the ELF program headers are outside the file");
    ProgramHeader h = program_header(*header, image.is64);
    if (h.type != kLoad && h.type != kNote) continue;
    auto data = slice(file, h.offset, h.file_size);
    if (!data) return fail(ErrorKind::Invalid, fmt::format("ELF segment {} is outside the file", i));
    if (h.type == kNote) {
      image.notes.push_back(*data);
    } else if (h.memory_size != 0) {
      if (h.file_size > h.memory_size) {
        return fail(ErrorKind::Invalid,
                    fmt::format("ELF segment {} is larger in the file than in memory", i));
      }
      image.segments.push_back({h.paddr, h.vaddr, h.memory_size, *data});
    }
  }
  return image;
}

uint64_t ElfImage::physical_entry() const {
  for (const ElfSegment& s : segments) {
    if (entry >= s.vaddr && entry - s.vaddr < s.memory_size) return s.paddr + (entry - s.vaddr);
  }
  return entry;
}

std::optional<std::span<const uint8_t>> ElfImage::note(std::string_view name, uint32_t type) const {
  for (std::span<const uint8_t> area : notes) {
    uint64_t at = 0;
    while (auto header = slice(area, at, 12)) {
      uint64_t name_size = le(*header, 0, 4), data_size = le(*header, 4, 4);
      uint64_t name_at = at + 12, data_at = name_at + ((name_size + 3) & ~uint64_t{3});
      auto its_name = slice(area, name_at, name_size);
      auto data = slice(area, data_at, data_size);
      if (!its_name || !data) break;
      if (le(*header, 8, 4) == type && name_size == name.size() + 1 &&
          std::memcmp(its_name->data(), name.data(), name.size()) == 0) {
        return data;
      }
      at = data_at + ((data_size + 3) & ~uint64_t{3});
    }
  }
  return std::nullopt;
}

Result<FlatImage> flatten(const ElfImage& image, uint64_t limit) {
  uint64_t low = UINT64_MAX, high = 0;
  for (const ElfSegment& s : image.segments) {
    if (s.paddr < kOneMiB || s.paddr >= limit || s.memory_size > limit - s.paddr) {
      return fail(ErrorKind::NoSpace,
                  fmt::format("the kernel wants {:#x} bytes at {:#x}; usable RAM is {:#x} to {:#x}",
                              s.memory_size, s.paddr, kOneMiB, limit));
    }
    low = std::min(low, s.paddr);
    high = std::max(high, s.paddr + s.memory_size);
  }
  if (image.segments.empty()) return fail(ErrorKind::Invalid, "the ELF file has nothing to load");
  FlatImage flat{static_cast<uint32_t>(low), std::vector<uint8_t>(high - low)};
  for (const ElfSegment& s : image.segments) {
    std::copy(s.data.begin(), s.data.end(), flat.data.begin() + static_cast<ptrdiff_t>(s.paddr - low));
  }
  return flat;
}

}  // namespace rhea::machine::boot
