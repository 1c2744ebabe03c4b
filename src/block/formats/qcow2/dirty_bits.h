// The bits of one dirty bitmap in memory, cut into cells of one cluster each as they lie on the disk (qcow2
// specification, "Bitmap data": least significant bit first). Cells that are all zeros or all ones cost
// nothing. Caller holds the image's lock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace rhea::block::qcow2 {

class DirtyBits {
 public:
  DirtyBits(uint64_t count, uint64_t cell_bytes) : count_(count), cell_bytes_(cell_bytes) {}

  uint64_t count() const { return count_; }
  uint64_t cells() const { return (count_ + cell_bits() - 1) / cell_bits(); }
  void set(uint64_t first, uint64_t count);
  void clear() { cells_.clear(); }
  // What is new is clean.
  void resize(uint64_t count);

  struct Run {
    uint64_t first = 0;
    uint64_t count = 0;
  };
  // The first bits in a row that are set, at `from` or behind it.
  std::optional<Run> next(uint64_t from) const;

  enum class Content { Zeros, Ones, Mixed };
  Content content(uint64_t cell) const;
  // Of a mixed cell, cell_bytes long.
  const std::vector<uint8_t>& bytes(uint64_t cell) const { return cells_.at(cell).bytes; }
  void set_cell(uint64_t cell, std::vector<uint8_t> bytes);
  void set_cell_ones(uint64_t cell);

 private:
  struct Cell {
    std::vector<uint8_t> bytes;  // empty: all ones
  };
  uint64_t cell_bits() const { return cell_bytes_ * 8; }
  void set_in_cell(uint64_t cell, uint64_t first, uint64_t end);
  bool is_set(uint64_t bit) const;
  void cut_last_cell();

  uint64_t count_;
  uint64_t cell_bytes_;
  std::map<uint64_t, Cell> cells_;  // absent: all zeros
};

}  // namespace rhea::block::qcow2
