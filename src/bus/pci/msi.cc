#include "bus/pci/msi.h"

#include <bit>

#include "base/check.h"

namespace rhea::bus::pci {

namespace {

// 6.8.1.3: message control.
constexpr uint16_t kMsiEnable = 0x0001, kMsiMultipleEnable = 0x0070, kMsiWide = 0x0080, kMsiMaskable = 0x0100;
// 6.8.2.3.
constexpr uint16_t kMsixEnable = 0x8000, kMsixFunctionMask = 0x4000;
constexpr unsigned kMsixEntry = 16;
constexpr unsigned kMsixCapability = 12;
constexpr unsigned kVectorControl = 3;  // dword of an entry

uint64_t load_bytes(const std::vector<uint8_t>& from, uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size && offset + i < from.size(); ++i)
    value |= uint64_t{from[offset + i]} << (8 * i);
  return value;
}

}  // namespace

Msi::Msi(PciFunction& function, unsigned offset, const Options& options)
    : function_(function), offset_(offset), options_(options) {
  CHECK(std::has_single_bit(options.vectors) && options.vectors <= 32);
  function.add_capability(kCapMsi, offset, size());
  const unsigned log = static_cast<unsigned>(std::countr_zero(options.vectors));
  const unsigned control = log << 1 | (options.wide ? kMsiWide : 0u) | (options.maskable ? kMsiMaskable : 0u);
  function.define16(offset + 2, static_cast<uint16_t>(control), kMsiEnable | kMsiMultipleEnable);
  function.define32(offset + 4, 0, 0xfffffffc);
  if (options.wide) function.define32(offset + 8, 0, 0xffffffff);
  function.define16(data_at(), 0, 0xffff);
  if (!options.maskable) return;
  const uint32_t all = options.vectors == 32 ? 0xffffffff : (uint32_t{1} << options.vectors) - 1;
  function.define32(mask_at(), 0, all);
  function.define32(pending_at(), 0);
}

unsigned Msi::size() const {
  return (options_.wide ? 14u : 10u) + (options_.maskable ? 10u : 0u);
}

bool Msi::enabled() const {
  return (function_.config16(offset_ + 2) & kMsiEnable) != 0;
}

void Msi::send(unsigned vector) {
  uint64_t address = function_.config32(offset_ + 4);
  if (options_.wide) address |= static_cast<uint64_t>(function_.config32(offset_ + 8)) << 32;
  // 6.8.1.6: the function may change as many low bits of the data as it was given vectors.
  const unsigned given = (function_.config16(offset_ + 2) & kMsiMultipleEnable) >> 4;
  const uint32_t low = (uint32_t{1} << (given > 5 ? 5 : given)) - 1;
  const uint32_t data = function_.config16(data_at());
  function_.send_message(address, (data & ~low) | (vector & low));
}

void Msi::notify(unsigned vector) {
  CHECK(vector < options_.vectors);
  if (!enabled()) return;
  if (options_.maskable && (function_.config32(mask_at()) >> vector & 1) != 0) {
    function_.set_config32(pending_at(), function_.config32(pending_at()) | uint32_t{1} << vector);
    return;
  }
  send(vector);
}

void Msi::config_written(unsigned offset, unsigned written) {
  if (!options_.maskable || offset + written <= offset_ || offset >= offset_ + size() || !enabled()) return;
  const uint32_t ready = function_.config32(pending_at()) & ~function_.config32(mask_at());
  function_.set_config32(pending_at(), function_.config32(pending_at()) & ~ready);
  for (unsigned vector = 0; vector < options_.vectors; ++vector) {
    if ((ready >> vector & 1) != 0) send(vector);
  }
}

Msix::Msix(PciFunction& function, unsigned offset, unsigned vectors, const Placement& placement)
    : function_(function),
      offset_(offset),
      vectors_(vectors),
      table_(size_t{vectors} * kMsixEntry),
      pending_((vectors + 63) / 64 * size_t{8}) {
  CHECK(vectors >= 1 && vectors <= 2048 && placement.table % 8 == 0 && placement.pending % 8 == 0);
  function.add_capability(kCapMsix, offset, kMsixCapability);
  function.define16(offset + 2, static_cast<uint16_t>(vectors - 1), kMsixEnable | kMsixFunctionMask);
  function.define32(offset + 4, placement.table | placement.bar);
  function.define32(offset + 8, placement.pending | placement.bar);
  reset();
}

bool Msix::enabled() const {
  return (function_.config16(offset_ + 2) & kMsixEnable) != 0;
}

uint32_t Msix::entry(unsigned vector, unsigned dword) const {
  return static_cast<uint32_t>(load_bytes(table_, uint64_t{vector} * kMsixEntry + 4 * dword, 4));
}

bool Msix::masked(unsigned vector) const {
  return (function_.config16(offset_ + 2) & kMsixFunctionMask) != 0 ||
         (entry(vector, kVectorControl) & 1) != 0;
}

void Msix::notify(unsigned vector) {
  if (vector >= vectors_ || !enabled()) return;
  if (masked(vector)) {
    pending_[vector / 8] = static_cast<uint8_t>(pending_[vector / 8] | 1u << vector % 8);
    return;
  }
  function_.send_message(uint64_t{entry(vector, 1)} << 32 | entry(vector, 0), entry(vector, 2));
}

void Msix::flush() {
  if (!enabled()) return;
  for (unsigned vector = 0; vector < vectors_; ++vector) {
    const unsigned bit = 1u << vector % 8;
    if ((pending_[vector / 8] & bit) == 0 || masked(vector)) continue;
    pending_[vector / 8] = static_cast<uint8_t>(pending_[vector / 8] & ~bit);
    notify(vector);
  }
}

void Msix::config_written(unsigned offset, unsigned size) {
  if (offset + size > offset_ && offset < offset_ + kMsixCapability) flush();
}

// 6.8.2.9: every vector is masked after reset.
void Msix::reset() {
  std::fill(table_.begin(), table_.end(), uint8_t{0});
  std::fill(pending_.begin(), pending_.end(), uint8_t{0});
  for (unsigned vector = 0; vector < vectors_; ++vector) table_[vector * size_t{kMsixEntry} + 12] = 1;
}

void Msix::state(StateVisitor& v) {
  v.enter("msix");
  v.bytes("table", table_);
  v.bytes("pending", pending_);
  v.leave();
}

uint64_t Msix::io_read(uint64_t offset, unsigned size) {
  if (offset < table_.size()) return load_bytes(table_, offset, size);
  return load_bytes(pending_, offset - table_.size(), size);
}

void Msix::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset >= table_.size()) return;  // the pending bits are read-only
  for (unsigned i = 0; i < size && offset + i < table_.size(); ++i) {
    const uint64_t at = offset + i;
    const uint8_t byte = static_cast<uint8_t>(value >> (8 * i));
    // Of vector control only the mask bit exists (6.8.2.9); of the address the low two bits are zero.
    uint8_t mask = at % kMsixEntry < 12 ? 0xff : 0;
    if (at % kMsixEntry == 12) mask = 1;
    if (at % kMsixEntry == 0) mask = 0xfc;
    table_[at] = byte & mask;
  }
  flush();
}

}  // namespace rhea::bus::pci
