// For tests: drives over images in memory, with a loop that delivers what their workers have done.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "async/event_loop.h"
#include "async/fake_clock.h"
#include "base/check.h"
#include "block/drive/drives.h"
#include "block/formats/raw.h"
#include "block/testing/memory_node.h"

namespace rhea::devices::testing {

// A raw image in memory, safe for the threads of a pool.
class MemoryImage final : public block::ImageNode {
 public:
  explicit MemoryImage(std::vector<uint8_t> bytes)
      : ImageNode(block::raw_driver(), nullptr), node_(std::move(bytes)) {}
  uint64_t size() const override { return node_.size(); }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    const std::lock_guard guard(mutex_);
    if (broken_) return fail(ErrorKind::Io, "broken by the test");
    return node_.read(offset, into);
  }
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    const std::lock_guard guard(mutex_);
    if (broken_) return fail(ErrorKind::Io, "broken by the test");
    return node_.write(offset, from);
  }
  Result<> write_zeroes(uint64_t offset, uint64_t length, block::ZeroMode mode) override {
    const std::lock_guard guard(mutex_);
    return node_.write_zeroes(offset, length, mode);
  }
  Result<> discard(uint64_t offset, uint64_t length) override {
    const std::lock_guard guard(mutex_);
    return node_.write_zeroes(offset, length, block::ZeroMode::MayUnmap);
  }
  Result<> flush() override {
    const std::lock_guard guard(mutex_);
    flushes_++;
    return {};
  }
  Result<block::Extent> extent(uint64_t, uint64_t length) override {
    return block::Extent{.length = length, .allocated = true, .data = true};
  }
  Result<> resize(uint64_t size, block::Preallocation mode) override { return node_.resize(size, mode); }

  void set_broken(bool broken) {
    const std::lock_guard guard(mutex_);
    broken_ = broken;
  }
  unsigned flushes() {
    const std::lock_guard guard(mutex_);
    return flushes_;
  }

 private:
  std::mutex mutex_;
  block::MemoryNode node_;
  bool broken_ = false;
  unsigned flushes_ = 0;
};

struct TestDrives {
  explicit TestDrives(std::recursive_mutex& lock, async::Clock& clock)
      : loop(lock), drives({.loop = loop, .clock = clock}) {}

  // Bytes 0, 1, 2 … of each sector are its number, the rest counts up.
  static std::vector<uint8_t> pattern(size_t bytes) {
    std::vector<uint8_t> out(bytes);
    for (size_t i = 0; i < bytes; ++i) {
      const size_t sector = i / 512, at = i % 512;
      out[i] = static_cast<uint8_t>(at < 4 ? sector >> (8 * at) : at + sector);
    }
    return out;
  }
  block::Drive& add(std::string id, size_t bytes, bool read_only = false, bool discard = false) {
    auto image = std::make_shared<MemoryImage>(pattern(bytes));
    block::Medium medium;
    medium.image = image;
    medium.read_only = read_only;
    return add(std::move(id), std::move(medium), discard);
  }
  block::Drive& add(std::string id, block::Medium medium = {}, bool discard = false) {
    block::DriveConfig config;
    config.id = std::move(id);
    config.discard = discard;
    auto added = drives.add(std::move(config), std::move(medium));
    CHECK(added.has_value());
    return **added;
  }
  // Until the disks have nothing to do.
  void settle() { drives.wait_idle(); }

  async::EventLoop loop;
  block::Drives drives;
};

}  // namespace rhea::devices::testing
