// Properties of what a board has without a -device: -global can set them, and programs ask for them by
// device-list-properties before they do.
#pragma once

#include <string_view>

namespace rhea::machine {

struct BoardProperty {
  std::string_view driver, property, type;
};

inline constexpr BoardProperty kBoardProperties[] = {
    {"PIIX4_PM", "disable_s3", "uint8"},
    {"PIIX4_PM", "disable_s4", "uint8"},
    {"ICH9-LPC", "disable_s3", "uint8"},
    {"ICH9-LPC", "disable_s4", "uint8"},
    {"ICH9-LPC", "noreboot", "bool"},
    {"cfi.pflash01", "secure", "bool"},
    {"i440FX-pcihost", "pci-hole64-size", "size"},
    {"isa-debugcon", "iobase", "uint32"},
    {"kvm-pit", "lost_tick_policy", "LostTickPolicy"},
    {"mc146818rtc", "lost_tick_policy", "LostTickPolicy"},
    {"mch", "extended-tseg-mbytes", "uint16"},
    {"q35-pcihost", "pci-hole64-size", "size"},
};

}  // namespace rhea::machine
