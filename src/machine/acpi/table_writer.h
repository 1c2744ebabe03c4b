// Lays tables out in one blob and records what firmware must patch once it knows where the blob lies.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rhea::machine::acpi {

// Zone for the loader's ALLOCATE command.
enum class Zone : uint8_t { High = 1, FSegment = 2 };

// The loader script: 128-byte commands.
class LoaderScript {
 public:
  void allocate(std::string_view file, uint32_t alignment, Zone zone);
  // The little-endian pointer of `size` bytes at `offset` of `in` holds an offset into `to`; firmware adds
  // to's address.
  void add_pointer(std::string_view in, std::string_view to, uint32_t offset, uint8_t size);
  // The byte at `at` is set so that [start, start + length) sums to zero.
  void add_checksum(std::string_view file, uint32_t at, uint32_t start, uint32_t length);
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  uint8_t* command(uint32_t number);
  std::vector<uint8_t> bytes_;
};

// Appends little-endian values to a blob.
class TableWriter {
 public:
  explicit TableWriter(std::vector<uint8_t>& blob) : blob_(blob) {}

  uint32_t offset() const { return static_cast<uint32_t>(blob_.size()); }
  void u8(uint64_t v) { le(v, 1); }
  void u16(uint64_t v) { le(v, 2); }
  void u32(uint64_t v) { le(v, 4); }
  void u64(uint64_t v) { le(v, 8); }
  void bytes(std::span<const uint8_t> data) { blob_.insert(blob_.end(), data.begin(), data.end()); }
  void text(std::string_view value, size_t width);  // space padded
  void zeros(size_t count) { blob_.resize(blob_.size() + count); }
  // Generic address structure (5.2.3.2) of an I/O port.
  void port_address(uint16_t port, uint8_t bits);
  void align(uint32_t to);

  // The 36-byte header (5.2.6); returns the table's offset. end() fills in the length.
  uint32_t begin(std::string_view signature, uint8_t revision);
  void end(uint32_t table);

 private:
  void le(uint64_t value, unsigned bytes);
  std::vector<uint8_t>& blob_;
};

inline constexpr uint32_t kHeaderSize = 36, kLengthOffset = 4, kChecksumOffset = 9;

}  // namespace rhea::machine::acpi
