// Page tables of the 64-bit kernel. Entry bits: SDM 3A 4.5.
#pragma once
#include "arch.h"

enum : u64 {
  kP = 1,
  kW = 2,
  kU = 4,
  kPwt = 8,
  kPcd = 0x10,
  kA = 0x20,
  kD = 0x40,
  kPs = 0x80,
  kG = 0x100,
  kNx = 1ull << 63,
};
constexpr u64 kPageMask = 0x000ffffffffff000ull;

u64* new_table();                        // zeroed 4 KiB
void* new_page();                        // 4 KiB of data, below 4 MiB, mapped one to one
void reset_pages();                      // forgets what new_* handed out since start
u64* entry_for(Word linear, int level);  // level 1 = leaf of 4 KiB; makes tables (P W U) on the way
void map_page(Word linear, u64 physical, u64 bits);
void flush_all();  // CR3 reload and CR4.PGE toggle
