// A checked reader of x86 ELF executables, 32 and 64 bit (System V ABI, chapters 4 and 5): the segments to
// load and the notes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::machine::boot {

struct ElfSegment {
  uint64_t paddr, vaddr, memory_size;
  std::span<const uint8_t> data;  // file contents; the rest of memory_size is zero
};

struct ElfImage {
  bool is64 = false;
  uint64_t entry = 0;                           // as in the header: virtual
  std::vector<ElfSegment> segments;             // PT_LOAD with a size
  std::vector<std::span<const uint8_t>> notes;  // PT_NOTE contents

  // The physical address of the entry point.
  uint64_t physical_entry() const;
  // A note's descriptor.
  std::optional<std::span<const uint8_t>> note(std::string_view name, uint32_t type) const;
};

bool is_elf(std::span<const uint8_t> file);
// The views are into `file`. Errors: Invalid.
Result<ElfImage> read_elf(std::span<const uint8_t> file);

// All segments in one block of memory, gaps and bss zeroed. Errors: NoSpace unless all of it is in [1 MiB,
// limit).
struct FlatImage {
  uint32_t address;
  std::vector<uint8_t> data;
};
Result<FlatImage> flatten(const ElfImage& image, uint64_t limit);

}  // namespace rhea::machine::boot
