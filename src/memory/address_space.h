// A guest address space (one for memory, one for ports): overlapping regions with priorities, flattened into
// a sorted, disjoint, immutable view that is swapped on change.
//
// Threading: changes hold the machine lock; view() and accesses from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "memory/address.h"
#include "memory/io_handler.h"
#include "memory/ram_block.h"

namespace rhea::memory {

enum class MapId : uint32_t {};
enum class RamAccess : uint8_t { ReadWrite, ReadOnly };  // writes to ReadOnly are dropped

struct FlatRange {
  uint64_t start;
  uint64_t size;
  RamBlock* ram;    // or null
  uint64_t offset;  // into ram or into io's region
  IoHandler* io;    // or null; with ReadOnly ram: what takes the writes
  RamAccess access;
  uint64_t end() const { return start + size; }
};

struct FlatView {
  std::vector<FlatRange> ranges;  // sorted, disjoint; gaps are unassigned
  uint64_t generation = 0;

  // Null: nothing there. In the header, by hand: the translator's run time is compiled for general registers
  // only and may call nothing out of line.
  const FlatRange* find(uint64_t address) const {
    const FlatRange* low = ranges.data();
    uint64_t count = ranges.size();
    while (count != 0) {
      uint64_t half = count / 2;
      const FlatRange* middle = low + half;
      if (address < middle->start) {
        count = half;
      } else if (address - middle->start < middle->size) {
        return middle;
      } else {
        low = middle + 1;
        count -= half + 1;
      }
    }
    return nullptr;
  }
};

class AddressSpace {
 public:
  // The machine lock, taken around handlers that do not declare Locking::None (recursive: handlers may do
  // DMA). Accesses that meet nothing are a guest's error in memory, but how ports are probed.
  AddressSpace(std::string name, std::recursive_mutex& machine_lock,
               LogItem nothing_there = LogItem::GuestErrors);
  ~AddressSpace();

  // Higher priority wins where regions overlap; later wins among equals. Errors: OutOfRange.
  Result<MapId> map_ram(Gpa at, RamBlock& ram, uint64_t ram_offset, uint64_t size,
                        RamAccess access = RamAccess::ReadWrite, int priority = 0);
  Result<MapId> map_io(Gpa at, uint64_t size, IoHandler& handler, uint64_t offset = 0, int priority = 0);
  // Reads are those of the memory, writes go to the handler, with offsets into `ram` (flash that is read).
  Result<MapId> map_rom_device(Gpa at, RamBlock& ram, uint64_t ram_offset, uint64_t size, IoHandler& writes,
                               int priority = 0);
  void unmap(MapId id);
  void move(MapId id, Gpa at);
  void set_enabled(MapId id, bool enabled);
  void set_access(MapId id, RamAccess access);

  // Between begin() and commit() (nestable) the view stays as it was.
  void begin();
  void commit();

  std::shared_ptr<const FlatView> view() const;
  uint64_t generation() const;  // changes whenever the view does
  // Called after each swap, machine lock held (the CPU engines drop their mappings there).
  void on_change(std::function<void()> listener);

  // One access of 1, 2, 4 or 8 bytes as a CPU makes it; unassigned reads give all ones. May cross ranges. A
  // store to RAM calls RamBlock::note_written. `-d guest_errors` shows what meets nothing or ROM.
  uint64_t load(uint64_t address, unsigned size);
  void store(uint64_t address, unsigned size, uint64_t value);
  // Loads or stores of `size` bytes (1, 2 or 4) at the same address, as many as `data` holds.
  void load_run(uint64_t address, unsigned size, std::span<uint8_t> data);
  void store_run(uint64_t address, unsigned size, std::span<const uint8_t> data);
  // DMA and loaders: RAM is copied, handlers are called in their widest accesses. False: part was unassigned.
  bool read(uint64_t address, std::span<uint8_t> to);
  bool write(uint64_t address, std::span<const uint8_t> from);

 private:
  struct Impl;
  uint64_t load_pieces(uint64_t address, unsigned size);
  void store_pieces(uint64_t address, unsigned size, uint64_t value);

  std::unique_ptr<Impl> impl_;
};

}  // namespace rhea::memory
