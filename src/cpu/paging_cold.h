// Entry points for Core::cold() from the general-registers-only part of paging.
#pragma once

#include <cstdint>

#include "memory/address_space.h"

namespace rhea::cpu {
struct ViewCache;
}

namespace rhea::cpu::paging_cold {

struct RefreshArg {
  ViewCache* view;
  memory::AddressSpace* space;
};
struct IoArg {
  memory::AddressSpace* space;
  uint64_t address;
  uint64_t value;
  unsigned size;
};
struct RunArg {
  memory::AddressSpace* space;
  uint64_t address;
  uint8_t* data;
  uint64_t bytes;
  unsigned size;  // of an access
};
struct NoteArg {
  memory::RamBlock* ram;
  uint64_t offset, length;
};

void create(void* core);
void refresh_view(void* refresh_arg);
void load(void* io_arg);
void store(void* io_arg);
void load_run(void* run_arg);
void store_run(void* run_arg);
void note_written(void* note_arg);

}  // namespace rhea::cpu::paging_cold
