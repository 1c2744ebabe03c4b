// PCI configuration space by ports CF8h and CFCh (PCI Local Bus 3.0, 3.2.2.3), of bus 0, function 0.
#pragma once

#include "arch.h"

inline u32 pci_read(unsigned slot, unsigned reg) {
  out32(0xcf8, 0x80000000 | slot << 11 | reg);
  return in32(0xcfc);
}
inline void pci_write(unsigned slot, unsigned reg, u32 v) {
  out32(0xcf8, 0x80000000 | slot << 11 | reg);
  out32(0xcfc, v);
}
// Device id << 16 | vendor. Its slot, decoding enabled, or -1.
inline int pci_find(u32 id) {
  for (unsigned slot = 0; slot < 32; ++slot) {
    if (pci_read(slot, 0) != id) continue;
    pci_write(slot, 4, pci_read(slot, 4) | 7);
    return static_cast<int>(slot);
  }
  return -1;
}
inline volatile u32* pci_memory_bar(unsigned slot) {
  return reinterpret_cast<volatile u32*>(Word{pci_read(slot, 0x10) & ~0xfu});
}
