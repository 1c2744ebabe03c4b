#include "block/formats/qcow2/dirty_bits.h"

#include <algorithm>

#include "block/node.h"

namespace rhea::block::qcow2 {

void DirtyBits::set_in_cell(uint64_t cell, uint64_t first, uint64_t end) {
  if (first == 0 && end == cell_bits()) {
    cells_[cell].bytes.clear();
    return;
  }
  const auto [at, is_new] = cells_.try_emplace(cell);
  std::vector<uint8_t>& bytes = at->second.bytes;
  if (is_new) bytes.resize(cell_bytes_);
  if (bytes.empty()) return;
  while (first < end) {
    if (first % 8 == 0 && end - first >= 8) {
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(first / 8),
                bytes.begin() + static_cast<std::ptrdiff_t>(end / 8), uint8_t{0xff});
      first = end / 8 * 8;
      continue;
    }
    bytes[first / 8] = static_cast<uint8_t>(bytes[first / 8] | 1u << (first % 8));
    ++first;
  }
}

void DirtyBits::set(uint64_t first, uint64_t count) {
  if (first >= count_) return;
  const uint64_t end = first + std::min(count, count_ - first);
  while (first < end) {
    const uint64_t cell = first / cell_bits();
    const uint64_t stop = std::min(end, (cell + 1) * cell_bits());
    set_in_cell(cell, first - cell * cell_bits(), stop - cell * cell_bits());
    first = stop;
  }
}

bool DirtyBits::is_set(uint64_t bit) const {
  const auto cell = cells_.find(bit / cell_bits());
  if (cell == cells_.end()) return false;
  const uint64_t place = bit % cell_bits();
  return cell->second.bytes.empty() || (cell->second.bytes[place / 8] >> (place % 8) & 1) != 0;
}

std::optional<DirtyBits::Run> DirtyBits::next(uint64_t from) const {
  uint64_t at = from;
  for (auto cell = cells_.lower_bound(from / cell_bits()); cell != cells_.end(); ++cell) {
    at = std::max(at, cell->first * cell_bits());
    const uint64_t end = std::min(count_, (cell->first + 1) * cell_bits());
    const std::vector<uint8_t>& bytes = cell->second.bytes;
    while (at < end && !bytes.empty()) {
      const uint64_t place = at % cell_bits();
      const auto rest = static_cast<uint8_t>(bytes[place / 8] >> (place % 8));
      if ((rest & 1) != 0) break;
      at += rest == 0 ? 8 - place % 8 : 1;
    }
    if (at >= end) continue;
    Run out{.first = at, .count = 0};
    while (at < count_ && is_set(at)) ++at;
    out.count = at - out.first;
    return out;
  }
  return std::nullopt;
}

DirtyBits::Content DirtyBits::content(uint64_t cell) const {
  const auto found = cells_.find(cell);
  if (found == cells_.end()) return Content::Zeros;
  return found->second.bytes.empty() ? Content::Ones : Content::Mixed;
}

void DirtyBits::set_cell(uint64_t cell, std::vector<uint8_t> bytes) {
  if (is_zero(bytes)) {
    cells_.erase(cell);
  } else {
    cells_[cell].bytes = std::move(bytes);
  }
  cut_last_cell();
}

void DirtyBits::set_cell_ones(uint64_t cell) {
  cells_[cell].bytes.clear();
  cut_last_cell();
}

// Bits behind the end are zeros, so that they are clean when the bitmap grows.
void DirtyBits::cut_last_cell() {
  const uint64_t place = count_ % cell_bits();
  const auto found = cells_.find(count_ / cell_bits());
  if (place == 0 || found == cells_.end()) return;
  std::vector<uint8_t>& bytes = found->second.bytes;
  if (bytes.empty()) bytes.assign(cell_bytes_, uint8_t{0xff});
  if (place % 8 != 0) bytes[place / 8] = static_cast<uint8_t>(bytes[place / 8] & ((1u << (place % 8)) - 1));
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>((place + 7) / 8), bytes.end(), uint8_t{0});
}

void DirtyBits::resize(uint64_t count) {
  count_ = count;
  cells_.erase(cells_.lower_bound(cells()), cells_.end());
  cut_last_cell();
}

}  // namespace rhea::block::qcow2
