// How the board splits RAM around the hole below 4 GiB for PCI, firmware and APICs.
#pragma once

#include <cstdint>

namespace rhea::machine {

struct RamLayout {
  static constexpr uint64_t kFourGiB = uint64_t{1} << 32;
  // As QEMU's i440FX board: up to 3.5 GiB lie below the hole; more is split at 3 GiB, so that it is 1 GiB
  // aligned.
  static constexpr uint64_t kWholeBelow = 0xe0000000, kSplit = 0xc0000000;

  uint64_t low;   // [0, low)
  uint64_t high;  // [4 GiB, 4 GiB + high)

  static constexpr RamLayout of(uint64_t bytes) {
    return bytes < kWholeBelow ? RamLayout{bytes, 0} : RamLayout{kSplit, bytes - kSplit};
  }
  uint64_t end() const { return high == 0 ? kFourGiB : kFourGiB + high; }
};

}  // namespace rhea::machine
