// What formats that map an image's clusters (blocks, grains) to places in files have in common: reading,
// writing, zeroing and extents in terms of four questions that the format answers.
//
// One lock guards the map. Data moves without it, except into clusters that are new: those are written before
// anything points to them, so that a killed process leaves at most places that nobody uses.
#pragma once

#include <mutex>
#include <vector>

#include "block/driver.h"
#include "block/facets.h"
#include "block/image.h"

namespace rhea::block {

class ClusterImage : public ImageNode, public ReservingWriter {
 public:
  uint64_t size() const final { return size_; }
  Result<> read(uint64_t offset, std::span<uint8_t> into) final;
  Result<> write(uint64_t offset, std::span<const uint8_t> from) final;
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) final;
  Result<> discard(uint64_t offset, uint64_t length) override;
  Result<> flush() override;
  Result<Extent> extent(uint64_t offset, uint64_t length) final;
  Result<> resize(uint64_t size, Preallocation preallocation) override;
  Result<> reserve(uint64_t offset, uint64_t length) final;
  // The rest of a cluster is filled when it gets its place.
  uint64_t reserve_unit() const override { return 512; }

 protected:
  enum class State { Unallocated, Zero, Data, Compressed };
  struct Place {
    State state = State::Unallocated;
    uint64_t offset = 0;        // of the cluster's first byte in the file; Compressed: the format's own
    uint64_t length = 0;        // Compressed: the format's own
    BlockNode* node = nullptr;  // null: file()
  };
  struct NewPlace {
    uint64_t offset = 0;
    bool zeroed = false;  // reads as zeros already
    BlockNode* node = nullptr;
  };

  ClusterImage(const FormatDriver& driver, std::unique_ptr<BlockNode> file, uint64_t size,
               uint64_t cluster_size)
      : ImageNode(driver, std::move(file)), size_(size), cluster_size_(cluster_size) {}

  uint64_t cluster_size() const { return cluster_size_; }
  uint64_t clusters() const { return size_ / cluster_size_ + (size_ % cluster_size_ != 0); }
  void set_size(uint64_t size) { size_ = size; }

  // Whether what is unallocated may be read from another image.
  virtual bool may_be_backed() const { return driver().can_back(); }
  // Whether the holes of the file are zeros of the image worth telling: data is where it is without having
  // been written.
  virtual bool shows_holes() const { return false; }
  // What is read where this image has nothing.
  virtual bool has_below() const { return backing() != nullptr; }
  virtual Result<> read_below(uint64_t offset, std::span<uint8_t> into) { return read_backing(offset, into); }
  // All of these are called with mutex() held and an index below clusters().
  virtual Result<Place> locate(uint64_t index) = 0;
  virtual Result<NewPlace> allocate(uint64_t index);
  // The new place was written and is the cluster's from now on.
  virtual Result<> link(uint64_t index, const NewPlace& place);
  // Makes a whole cluster read as zeros in the map alone. False: the format cannot.
  virtual Result<bool> link_zero(uint64_t, const Place&) { return false; }
  virtual Result<> write_metadata() { return {}; }
  // `out` is a whole cluster. Called without the lock, by many threads.
  virtual Result<> decompress(const Place& place, std::span<uint8_t> out);

  std::mutex& mutex() { return mutex_; }

 private:
  struct Run {
    Place place;
    uint64_t offset = 0;  // in place.node of the first byte asked for
    uint64_t length = 0;
  };
  BlockNode& node_of(BlockNode* node) { return node != nullptr ? *node : file(); }
  Result<Run> run_at(uint64_t offset, uint64_t length);
  Result<> read_compressed(const Place& place, uint64_t offset, std::span<uint8_t> into);
  // Gives the cluster at `offset` a place of its own. `data` (may be null: left unspecified) goes to
  // [offset, offset + length), the rest keeps what is read there now.
  Result<> fill_cluster(const Place& old, uint64_t offset, uint64_t length, const uint8_t* data);
  Result<> write_new(const NewPlace& place, uint64_t index, uint64_t head, std::span<const uint8_t> data,
                     const Place& old);

  uint64_t size_;
  uint64_t cluster_size_;
  std::mutex mutex_;
  // The last cluster that was decompressed for a part of it.
  std::mutex unpacked_mutex_;
  uint64_t unpacked_offset_ = UINT64_MAX;
  std::vector<uint8_t> unpacked_;
};

}  // namespace rhea::block
