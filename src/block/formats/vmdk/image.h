// An open VMDK image: its extents one behind the other, its descriptor, and its parent. Any thread.
#pragma once

#include <mutex>

#include "block/facets.h"
#include "block/formats/vmdk/descriptor.h"
#include "block/formats/vmdk/sparse_extent.h"

namespace rhea::block::vmdk {

// A part of the disk: sparse, or a window of a file, or zeros (neither).
struct Part {
  uint64_t start = 0;  // bytes
  uint64_t length = 0;
  std::string type;  // as in the descriptor; empty: the descriptor is inside of this extent
  std::string filename;
  std::unique_ptr<SparseExtent> sparse;
  std::unique_ptr<BlockNode> flat;
  uint64_t flat_offset = 0;

  const BlockNode* file() const { return sparse ? &sparse->data_file() : flat.get(); }
};

class VmdkImage : public ImageNode, public ReservingWriter, public Checker {
 public:
  // `descriptor_offset` and `_length`: where in `below` its text lies.
  VmdkImage(const FormatDriver& driver, std::unique_ptr<BlockNode> below, Descriptor descriptor,
            uint64_t descriptor_offset, uint64_t descriptor_length)
      : ImageNode(driver, std::move(below)),
        descriptor_(std::move(descriptor)),
        descriptor_offset_(descriptor_offset),
        descriptor_length_(descriptor_length) {}

  // For an extent that begins at `start`: how it reads what it does not have.
  SparseExtent::Below below_at(uint64_t start);
  void add(Part part);

  uint64_t size() const override { return size_; }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override;
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override;
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override;
  Result<> discard(uint64_t offset, uint64_t length) override { return check_range(offset, length, size_); }
  Result<> flush() override;
  Result<Extent> extent(uint64_t offset, uint64_t length) override;
  Result<> resize(uint64_t, Preallocation) override;
  Result<> reserve(uint64_t offset, uint64_t length) override;
  uint64_t reserve_unit() const override { return kSector; }
  ImageInfo info() const override;
  BackingReference backing_reference() const override;
  Result<CheckReport> check(Repair repair) override;

  const Descriptor& descriptor() const { return descriptor_; }

 protected:
  const std::vector<Part>& parts() const { return parts_; }
  // The content identifier changes with the first write, so that images on top of this one notice.
  Result<> note_change();

 private:
  const Part& part_at(uint64_t offset) const;
  // Calls visit(part, offset within it, position, length) for each piece of the range.
  template <class Visit>
  Result<> each_part(uint64_t offset, uint64_t length, Visit visit);
  Result<> check_parent();
  Result<std::string> read_descriptor() const;
  Result<> write_descriptor(const std::string& text, size_t old_length);

  Descriptor descriptor_;
  uint64_t descriptor_offset_;
  uint64_t descriptor_length_;
  std::vector<Part> parts_;
  uint64_t size_ = 0;
  std::mutex mutex_;  // guards what follows
  bool changed_ = false;
  bool parent_checked_ = false;
};

// streamOptimized: grains are written whole and once, compressed.
class StreamImage final : public VmdkImage, public CompressedWriter {
 public:
  using VmdkImage::VmdkImage;

  size_t compression_unit() const override { return static_cast<size_t>(extent_node().grain_size()); }
  Result<std::vector<uint8_t>> compress(std::span<const uint8_t> plain) override;
  Result<> write_compressed(uint64_t offset, std::span<const uint8_t> packed,
                            std::span<const uint8_t> plain) override;
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override;
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override;
  // The layout is that of the order of writing; there is nothing to reserve.
  Result<> reserve(uint64_t offset, uint64_t length) override { return check_range(offset, length, size()); }
  uint64_t reserve_unit() const override { return 0; }
  ImageInfo info() const override;

 private:
  SparseExtent& extent_node() const { return *parts().front().sparse; }
};

}  // namespace rhea::block::vmdk
