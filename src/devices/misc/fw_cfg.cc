#include "devices/misc/fw_cfg.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "base/log.h"

namespace rhea::devices {

namespace {

constexpr uint16_t kSignature = 0x00, kId = 0x01, kFileDirectory = 0x19;
constexpr uint16_t kWriteChannel = 0x4000;  // selector bit 14: kept for old guests, without effect
constexpr uint8_t kFeatures = 0x03;         // traditional interface and DMA

constexpr uint64_t kSelector = 0, kData = 1, kDma = 4;
constexpr uint64_t kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"

constexpr uint32_t kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16;

constexpr size_t kNameBytes = 56;

void put_be(std::vector<uint8_t>& out, uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t get_be(std::span<const uint8_t> from) {
  uint64_t value = 0;
  for (const uint8_t byte : from) value = value << 8 | byte;
  return value;
}

}  // namespace

FwCfg::FwCfg(const Wiring& wiring) : wiring_(wiring) {
  set_item(kSignature, {'Q', 'E', 'M', 'U'});
  set_item(kId, {kFeatures, 0, 0, 0});
  list_files();
}

void FwCfg::set_item(uint16_t key, std::vector<uint8_t> data) {
  CHECK((key & kWriteChannel) == 0 && data.size() <= UINT32_MAX);
  items_[key] = {.data = std::move(data), .callbacks = {}};
}

void FwCfg::set_item(uint16_t key, std::shared_ptr<const FileBytes> file, uint64_t begin) {
  CHECK((key & kWriteChannel) == 0 && begin <= file->size() && file->size() - begin <= UINT32_MAX);
  items_[key] = {.data = {}, .callbacks = {}, .file = std::move(file), .file_begin = begin};
}

void FwCfg::set_file(std::string_view file_name, std::vector<uint8_t> data, bool writable,
                     Callbacks callbacks) {
  CHECK(!file_name.empty() && file_name.size() < kNameBytes && data.size() <= UINT32_MAX);
  auto found = std::find_if(files_.begin(), files_.end(), [&](const File& f) { return f.name == file_name; });
  if (found == files_.end()) {
    CHECK(files_.size() < kWriteChannel - size_t{kFirstFile});
    files_.push_back({std::string(file_name), static_cast<uint16_t>(kFirstFile + files_.size())});
    found = files_.end() - 1;
  }
  items_[found->key] = {.data = std::move(data), .writable = writable, .callbacks = std::move(callbacks)};
  list_files();
}

void FwCfg::change_file(std::string_view file_name, std::vector<uint8_t> data) {
  for (const File& file : files_) {
    if (file.name != file_name) continue;
    Item& item = items_.at(file.key);
    data.resize(item.data.size());
    item.data = std::move(data);
  }
}

const std::vector<uint8_t>* FwCfg::file(std::string_view file_name) const {
  for (const File& file : files_) {
    if (file.name == file_name) return &items_.at(file.key).data;
  }
  return nullptr;
}

// The directory is in the order of names, which makes what guests see independent of the order of building.
void FwCfg::list_files() {
  std::vector<File> sorted = files_;
  std::sort(sorted.begin(), sorted.end(), [](const File& a, const File& b) { return a.name < b.name; });
  std::vector<uint8_t> out;
  put_be(out, sorted.size(), 4);
  for (const File& file : sorted) {
    put_be(out, items_[file.key].size(), 4);
    put_be(out, file.key, 2);
    put_be(out, 0, 2);
    out.insert(out.end(), file.name.begin(), file.name.end());
    out.insert(out.end(), kNameBytes - file.name.size(), 0);
  }
  set_item(kFileDirectory, std::move(out));
}

void FwCfg::reset(bus::ResetKind) {
  key_ = 0;
  offset_ = 0;
  dma_address_ = 0;
}

void FwCfg::state(bus::StateVisitor& v) {
  v.field("key", key_);
  v.field("offset", offset_);
  v.field("dma_address", dma_address_);
  for (const File& file : files_) {
    Item& item = items_[file.key];
    if (item.writable) v.bytes(file.name, item.data);
  }
}

FwCfg::Item* FwCfg::current() {
  const auto found = items_.find(key_);
  return found == items_.end() ? nullptr : &found->second;
}

void FwCfg::select(uint16_t key) {
  key_ = key & static_cast<uint16_t>(~kWriteChannel);
  offset_ = 0;
  Item* item = current();
  if (item != nullptr && item->callbacks.selected) item->callbacks.selected();
}

uint8_t FwCfg::next_byte() {
  const Item* item = current();
  if (item == nullptr || offset_ >= item->size()) return 0;
  if (!item->file) return item->data[offset_++];
  uint8_t byte = 0;
  item->file->read(item->file_begin + offset_++, std::span(&byte, 1));
  return byte;
}

bool FwCfg::copy_bytes(const Item& item, uint64_t length, uint64_t address) {
  if (!item.file) return wiring_.memory.write(address, std::span(item.data).subspan(offset_, length));
  std::vector<uint8_t> part(
      std::min<uint64_t>(length, 64 << 10));  // stays in the cache between the two copies
  for (uint64_t done = 0; done < length;) {
    const auto step = std::span(part).first(std::min<uint64_t>(part.size(), length - done));
    item.file->read(item.file_begin + offset_ + done, step);
    if (!wiring_.memory.write(address + done, step)) return false;
    done += step.size();
  }
  return true;
}

bool FwCfg::copy_out(uint32_t length, uint64_t address) {
  const Item* item = current();
  const uint64_t size = item == nullptr ? 0 : item->size();
  const uint64_t there = std::min<uint64_t>(length, offset_ < size ? size - offset_ : 0);
  if (there != 0 && !copy_bytes(*item, there, address)) return false;
  offset_ += static_cast<uint32_t>(there);
  // What is beyond the item's end reads as zero.
  static constexpr std::array<uint8_t, 4096> kZeros{};
  for (uint64_t done = there; done < length;) {
    const uint64_t step = std::min<uint64_t>(kZeros.size(), length - done);
    if (!wiring_.memory.write(address + done, std::span(kZeros).first(step))) return false;
    done += step;
  }
  return true;
}

bool FwCfg::copy_in(uint32_t length, uint64_t address) {
  Item* item = current();
  if (item == nullptr || !item->writable || offset_ > item->data.size() ||
      length > item->data.size() - offset_)
    return false;
  if (!wiring_.memory.read(address, std::span(item->data).subspan(offset_, length))) return false;
  const uint32_t start = offset_;
  offset_ += length;
  if (item->callbacks.written) item->callbacks.written(start, length);
  return true;
}

bool FwCfg::transfer(uint32_t control, uint32_t length, uint64_t address) {
  if ((control & kRead) != 0) return copy_out(length, address);
  if ((control & kWrite) != 0) return copy_in(length, address);
  if ((control & kSkip) != 0) offset_ = length > UINT32_MAX - offset_ ? UINT32_MAX : offset_ + length;
  return true;
}

void FwCfg::run_dma(uint64_t at) {
  std::array<uint8_t, 16> request{};
  if (!wiring_.memory.read(at, request)) {
    guest_error("fw_cfg: DMA request at {:#x} is not in memory", at);
    return;
  }
  const std::span<const uint8_t> bytes(request);
  const uint32_t control = static_cast<uint32_t>(get_be(bytes.first(4)));
  const uint32_t length = static_cast<uint32_t>(get_be(bytes.subspan(4, 4)));
  if ((control & kSelect) != 0) select(static_cast<uint16_t>(control >> 16));
  const bool done = transfer(control, length, get_be(bytes.subspan(8)));
  const std::array<uint8_t, 4> result = {0, 0, 0, static_cast<uint8_t>(done ? 0 : kError)};
  static_cast<void>(wiring_.memory.write(at, result));
}

uint64_t FwCfg::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    uint64_t byte = 0xff;
    if (at == kData && i == 0) byte = next_byte();
    if (at >= kDma && at < kIoSize) byte = kDmaSignature >> (8 * (7 - (at - kDma))) & 0xff;
    value |= byte << (8 * i);
  }
  return value;
}

void FwCfg::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == kSelector && size == 2) {
    select(static_cast<uint16_t>(value));
    return;
  }
  if (offset < kDma) return;  // the data port is read-only
  // Ports are little-endian and the register is big-endian: bytes land at their place in it.
  for (unsigned i = 0; i < size && offset + i < kIoSize; ++i) {
    const unsigned shift = 8 * (7 - static_cast<unsigned>(offset + i - kDma));
    dma_address_ = (dma_address_ & ~(uint64_t{0xff} << shift)) | (value >> (8 * i) & 0xff) << shift;
  }
  if (offset + size < kIoSize) return;  // the last byte of the low half starts it
  const uint64_t at = dma_address_;
  dma_address_ = 0;
  run_dma(at);
}

}  // namespace rhea::devices
