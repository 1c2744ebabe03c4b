// See table_writer.h. Loader commands: QEMU's fw_cfg table-loader interface, as SeaBIOS and OVMF read it.
#include "machine/acpi/table_writer.h"

#include <cstring>

#include "base/check.h"

namespace rhea::machine::acpi {
namespace {

constexpr size_t kCommandSize = 128, kFileNameSize = 56;
constexpr uint32_t kAllocate = 1, kAddPointer = 2, kAddChecksum = 3;

void put_le32(uint8_t* at, uint32_t value) {
  for (unsigned i = 0; i < 4; i++) at[i] = static_cast<uint8_t>(value >> (8 * i));
}

void put_name(uint8_t* at, std::string_view name) {
  CHECK(name.size() < kFileNameSize);
  std::memcpy(at, name.data(), name.size());
}

}  // namespace

uint8_t* LoaderScript::command(uint32_t number) {
  size_t at = bytes_.size();
  bytes_.resize(at + kCommandSize);
  put_le32(&bytes_[at], number);
  return &bytes_[at + 4];
}

void LoaderScript::allocate(std::string_view file, uint32_t alignment, Zone zone) {
  uint8_t* p = command(kAllocate);
  put_name(p, file);
  put_le32(p + kFileNameSize, alignment);
  p[kFileNameSize + 4] = static_cast<uint8_t>(zone);
}

void LoaderScript::add_pointer(std::string_view in, std::string_view to, uint32_t offset, uint8_t size) {
  uint8_t* p = command(kAddPointer);
  put_name(p, in);
  put_name(p + kFileNameSize, to);
  put_le32(p + 2 * kFileNameSize, offset);
  p[2 * kFileNameSize + 4] = size;
}

void LoaderScript::add_checksum(std::string_view file, uint32_t at, uint32_t start, uint32_t length) {
  uint8_t* p = command(kAddChecksum);
  put_name(p, file);
  put_le32(p + kFileNameSize, at);
  put_le32(p + kFileNameSize + 4, start);
  put_le32(p + kFileNameSize + 8, length);
}

void TableWriter::le(uint64_t value, unsigned count) {
  for (unsigned i = 0; i < count; i++) blob_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void TableWriter::text(std::string_view value, size_t width) {
  CHECK(value.size() <= width);
  blob_.insert(blob_.end(), value.begin(), value.end());
  blob_.resize(blob_.size() + width - value.size(), ' ');
}

void TableWriter::port_address(uint16_t port, uint8_t bits) {
  u8(1);  // system I/O
  u8(bits);
  u8(0);
  u8(0);
  u64(port);
}

void TableWriter::align(uint32_t to) {
  while (blob_.size() % to != 0) blob_.push_back(0);
}

uint32_t TableWriter::begin(std::string_view signature, uint8_t revision) {
  CHECK(signature.size() == 4);
  align(8);
  uint32_t at = offset();
  text(signature, 4);
  u32(0);  // length: end()
  u8(revision);
  u8(0);  // checksum: firmware
  text("RHEA", 6);
  text("RHEAPC", 8);
  u32(1);
  text("RHEA", 4);
  u32(1);
  return at;
}

void TableWriter::end(uint32_t table) {
  put_le32(&blob_[table + kLengthOffset], offset() - table);
}

}  // namespace rhea::machine::acpi
