// Defaults of the 32-bit kernel: no paging.
#include "test.h"

void paging_setup() {}

void restore_defaults() {
  cli();
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  write_cr0(kCr0Ne | 0x10 | kCr0Mp | kCr0Pe);
  write_cr4(kCr4Osfxsr | kCr4Osxmmexcpt);
  write_dr7(0x400);
  write_dr6(0xffff0ff0);
  trap_setup();
}
