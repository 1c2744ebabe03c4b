// The block that optionrom/flatboot.S takes its orders from: parameters first, then the kernel's boot
// structures, strings and room for the memory map.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rhea::machine::boot {

class FlatSetup {
 public:
  static constexpr uint32_t kAddress = 0x10000;  // in RAM below 1 MiB, 16-byte aligned
  static constexpr size_t kMaxSize = 0x10000;    // 16-bit offsets
  static constexpr unsigned kRecordStride = 24, kMaxRecords = 64;

  FlatSetup();

  // Adds zeroed room, 8-byte aligned; returns its offset. address() turns it into what the kernel gets.
  size_t reserve(size_t size);
  size_t add_string(const std::string& text);
  static uint32_t address(size_t offset) { return kAddress + static_cast<uint32_t>(offset); }
  void put32(size_t offset, uint32_t value);
  void put64(size_t offset, uint64_t value);

  void set_registers(uint32_t eax, uint32_t ebx, uint32_t entry);
  // `first` is where the first 20-byte record goes; the count times `factor` is stored at `count_at`.
  void set_memory_map(size_t first, size_t count_at, unsigned factor);
  void set_mem_lower(size_t offset) { put16(20, offset); }
  void set_rsdp(size_t offset) { put16(22, offset); }

  bool fits() const { return bytes_.size() <= kMaxSize; }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  void put16(size_t offset, size_t value);
  std::vector<uint8_t> bytes_;
};

}  // namespace rhea::machine::boot
