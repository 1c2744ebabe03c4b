// How the boards split RAM around the hole below 4 GiB for PCI, firmware and APICs.
#pragma once

#include <cstdint>

#include "machine/pc/machine_types.h"

namespace rhea::machine {

struct RamLayout {
  static constexpr uint64_t kFourGiB = uint64_t{1} << 32;

  uint64_t low;   // [0, low)
  uint64_t high;  // [4 GiB, 4 GiB + high)

  // As QEMU's boards: what is smaller than a limit lies below the hole; more is split at a round address. The
  // limit of Q35 is where its firmware puts memory-mapped configuration space.
  static constexpr RamLayout of(uint64_t bytes, Chipset chipset = Chipset::I440fx) {
    const uint64_t limit = chipset == Chipset::Q35 ? 0xb0000000 : 0xe0000000;
    const uint64_t split = chipset == Chipset::Q35 ? 0x80000000 : 0xc0000000;
    return bytes < limit ? RamLayout{bytes, 0} : RamLayout{split, bytes - split};
  }
  uint64_t end() const { return high == 0 ? kFourGiB : kFourGiB + high; }
};

}  // namespace rhea::machine
