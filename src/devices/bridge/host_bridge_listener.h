// What a host bridge tells the board of its memory map: programmable attributes of the BIOS area, and the
// memory that only code in system-management mode sees.
#pragma once

#include <cstdint>

namespace rhea::devices {

class HostBridgeListener {
 public:
  virtual ~HostBridgeListener() = default;
  // [start, start + size): whether reads and writes go to RAM (else to the bus, where the BIOS ROM is).
  virtual void pam_changed(uint32_t start, uint32_t size, bool read_ram, bool write_ram) = 0;
  // Compatible SMRAM at 0xA0000..0xBFFFF. enabled: it is there for SMM code; open: for everybody; closed: SMM
  // data accesses go to the bus although code fetches do not.
  virtual void smram_changed(bool enabled, bool open, bool closed) = 0;
  // The last `size` bytes of RAM below 4 GiB are for SMM code only.
  virtual void tseg_changed(uint64_t size) = 0;
};

}  // namespace rhea::devices
