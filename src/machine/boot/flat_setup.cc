// See flat_setup.h; the parameter block's layout is defined in optionrom/flatboot.S.
#include "machine/boot/flat_setup.h"

namespace rhea::machine::boot {
namespace {
constexpr size_t kGdtPointer = 24, kGdt = 32, kGdtSize = 24, kParameters = 56;
constexpr uint64_t kFlatCode = 0x00cf9b000000ffff, kFlatData = 0x00cf93000000ffff;
}  // namespace

FlatSetup::FlatSetup() : bytes_(kParameters) {
  put16(kGdtPointer, kGdtSize - 1);
  put32(kGdtPointer + 2, address(kGdt));
  put64(kGdt + 8, kFlatCode);
  put64(kGdt + 16, kFlatData);
}

size_t FlatSetup::reserve(size_t size) {
  size_t at = (bytes_.size() + 7) & ~size_t{7};
  bytes_.resize(at + size);
  return at;
}

size_t FlatSetup::add_string(const std::string& text) {
  size_t at = reserve(text.size() + 1);
  for (size_t i = 0; i < text.size(); i++) bytes_[at + i] = static_cast<uint8_t>(text[i]);
  return at;
}

void FlatSetup::put16(size_t offset, size_t value) {
  bytes_.at(offset) = static_cast<uint8_t>(value);
  bytes_.at(offset + 1) = static_cast<uint8_t>(value >> 8);
}

void FlatSetup::put32(size_t offset, uint32_t value) {
  put16(offset, value & 0xffff);
  put16(offset + 2, value >> 16);
}

void FlatSetup::put64(size_t offset, uint64_t value) {
  put32(offset, static_cast<uint32_t>(value));
  put32(offset + 4, static_cast<uint32_t>(value >> 32));
}

void FlatSetup::set_registers(uint32_t eax, uint32_t ebx, uint32_t entry) {
  put32(0, eax);
  put32(4, ebx);
  put32(8, entry);
}

void FlatSetup::set_memory_map(size_t first, size_t count_at, unsigned factor) {
  put16(12, first);
  put16(14, kMaxRecords);
  put16(16, count_at);
  put16(18, factor);
}

}  // namespace rhea::machine::boot
