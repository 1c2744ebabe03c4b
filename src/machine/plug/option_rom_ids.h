// PCI Firmware Specification 3.0, 5.1.2: images of an expansion ROM and the device that they are for.
#pragma once

#include <cstdint>
#include <span>

namespace rhea::machine {

// Writes these numbers into every PC-AT image, whose checksums stay right: firmware runs no image for another
// device. One network ROM serves several (virtio's transitional and modern form). What is no image is left
// alone.
void set_rom_ids(std::span<uint8_t> rom, uint16_t vendor, uint16_t device);

}  // namespace rhea::machine
