#include "block/formats/cluster_image.h"

#include <algorithm>
#include <cstring>

#include "base/failf.h"

namespace rhea::block {

Result<ClusterImage::NewPlace> ClusterImage::allocate(uint64_t) {
  return failf(ErrorKind::Unsupported, "writing to the format '{}' is not supported", driver().name());
}

Result<> ClusterImage::link(uint64_t, const NewPlace&) {
  return {};
}

Result<> ClusterImage::decompress(const Place&, std::span<uint8_t>) {
  return fail(ErrorKind::Unsupported, "compressed data");
}

// The range from `offset` that lies in one piece, or is one kind of nothing.
Result<ClusterImage::Run> ClusterImage::run_at(uint64_t offset, uint64_t length) {
  uint64_t index = offset / cluster_size_;
  const uint64_t within = offset % cluster_size_;
  Run run;
  run.place = TRY(locate(index));
  run.offset = run.place.offset + within;
  run.length = cluster_size_ - within;
  if (run.place.state == State::Compressed) {
    run.length = std::min(run.length, length);
    return run;
  }
  while (run.length < length) {
    const Place next = TRY(locate(++index));
    if (next.state != run.place.state) break;
    if (next.state == State::Data && (next.node != run.place.node || next.offset != run.offset + run.length))
      break;
    run.length += cluster_size_;
  }
  run.length = std::min(run.length, length);
  return run;
}

Result<> ClusterImage::read_compressed(const Place& place, uint64_t offset, std::span<uint8_t> into) {
  if (offset == 0 && into.size() == cluster_size_) return decompress(place, into);
  const std::lock_guard lock(unpacked_mutex_);
  if (unpacked_offset_ != place.offset) {
    unpacked_offset_ = UINT64_MAX;
    unpacked_.resize(static_cast<size_t>(cluster_size_));
    TRY(decompress(place, unpacked_));
    unpacked_offset_ = place.offset;
  }
  std::memcpy(into.data(), unpacked_.data() + offset, into.size());
  return {};
}

Result<> ClusterImage::read(uint64_t offset, std::span<uint8_t> into) {
  TRY(check_range(offset, into.size(), size_));
  while (!into.empty()) {
    Run run;
    {
      const std::lock_guard lock(mutex_);
      run = TRY(run_at(offset, into.size()));
    }
    const std::span<uint8_t> part = into.first(static_cast<size_t>(run.length));
    switch (run.place.state) {
      case State::Unallocated: TRY(read_below(offset, part)); break;
      case State::Zero: std::memset(part.data(), 0, part.size()); break;
      case State::Data: TRY(node_of(run.place.node).read(run.offset, part)); break;
      case State::Compressed: TRY(read_compressed(run.place, offset % cluster_size_, part)); break;
    }
    offset += run.length;
    into = into.subspan(part.size());
  }
  return {};
}

// Writes a cluster to where nothing points yet.
Result<> ClusterImage::write_new(const NewPlace& place, uint64_t index, uint64_t head,
                                 std::span<const uint8_t> data, const Place& old) {
  BlockNode& node = node_of(place.node);
  const bool from_below = old.state == State::Unallocated && has_below();
  if (data.size() == cluster_size_) return node.write(place.offset, data);
  if (from_below || old.state == State::Compressed) {
    std::vector<uint8_t> whole(static_cast<size_t>(cluster_size_));
    if (from_below) {
      TRY(read_below(index * cluster_size_, whole));
    } else {
      TRY(decompress(old, whole));
    }
    std::copy(data.begin(), data.end(), whole.begin() + static_cast<std::ptrdiff_t>(head));
    return node.write(place.offset, whole);
  }
  const uint64_t tail = head + data.size();
  if (!place.zeroed && head != 0) TRY(node.write_zeroes(place.offset, head, ZeroMode::MayUnmap));
  if (!data.empty()) TRY(node.write(place.offset + head, data));
  if (!place.zeroed && tail != cluster_size_)
    TRY(node.write_zeroes(place.offset + tail, cluster_size_ - tail, ZeroMode::MayUnmap));
  return {};
}

Result<> ClusterImage::fill_cluster(const Place& old, uint64_t offset, uint64_t length, const uint8_t* data) {
  const uint64_t index = offset / cluster_size_;
  const uint64_t head = offset % cluster_size_;
  const NewPlace place = TRY(allocate(index));
  if (data != nullptr) {
    TRY(write_new(place, index, head, {data, static_cast<size_t>(length)}, old));
  } else if (length != cluster_size_) {
    TRY(write_new(place, index, 0, {}, old));
  }
  return link(index, place);
}

Result<> ClusterImage::write(uint64_t offset, std::span<const uint8_t> from) {
  TRY(check_range(offset, from.size(), size_));
  while (!from.empty()) {
    uint64_t done = 0;
    std::unique_lock lock(mutex_);
    const Run run = TRY(run_at(offset, from.size()));
    if (run.place.state == State::Data) {
      lock.unlock();
      done = run.length;
      TRY(node_of(run.place.node).write(run.offset, from.first(static_cast<size_t>(done))));
    } else {
      done = std::min(run.length, cluster_size_ - offset % cluster_size_);
      TRY(fill_cluster(run.place, offset, done, from.data()));
    }
    offset += done;
    from = from.subspan(static_cast<size_t>(done));
  }
  return {};
}

Result<> ClusterImage::reserve(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const std::lock_guard lock(mutex_);
  while (length != 0) {
    const uint64_t part = std::min(length, cluster_size_ - offset % cluster_size_);
    const Place old = TRY(locate(offset / cluster_size_));
    if (old.state != State::Data) TRY(fill_cluster(old, offset, part, nullptr));
    offset += part;
    length -= part;
  }
  return {};
}

Result<> ClusterImage::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) {
  TRY(check_range(offset, length, size_));
  while (length != 0) {
    uint64_t part = std::min(length, cluster_size_ - offset % cluster_size_);
    // A cluster that the image ends in is whole as well.
    const bool whole = offset % cluster_size_ == 0 && (part == cluster_size_ || offset + part == size_);
    std::unique_lock lock(mutex_);
    const Run run = TRY(run_at(offset, length));
    const bool nothing =
        run.place.state == State::Zero || (run.place.state == State::Unallocated && !has_below());
    if (nothing) {
      part = run.length;
    } else if (whole && mode == ZeroMode::MayUnmap && TRY(link_zero(offset / cluster_size_, run.place))) {
      // Done.
    } else if (run.place.state == State::Data) {
      lock.unlock();
      part = std::min(part, run.length);
      TRY(node_of(run.place.node).write_zeroes(run.offset, part, mode));
    } else {
      const std::vector<uint8_t> zeros(static_cast<size_t>(part));
      TRY(fill_cluster(run.place, offset, part, zeros.data()));
    }
    offset += part;
    length -= part;
  }
  return {};
}

// Nothing is given back: the map knows no place that is free.
Result<> ClusterImage::discard(uint64_t offset, uint64_t length) {
  return check_range(offset, length, size_);
}

Result<> ClusterImage::flush() {
  {
    const std::lock_guard lock(mutex_);
    TRY(write_metadata());
  }
  return file().flush();
}

Result<Extent> ClusterImage::extent(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const std::lock_guard lock(mutex_);
  const Run run = TRY(run_at(offset, length));
  Extent out{.length = run.length};
  // Where no other image can be behind, what is not there is zeros of this image.
  out.allocated = run.place.state != State::Unallocated || !may_be_backed();
  out.zero = run.place.state == State::Zero || (run.place.state == State::Unallocated && !has_below());
  out.data = run.place.state == State::Data || run.place.state == State::Compressed;
  out.compressed = run.place.state == State::Compressed;
  if (run.place.state == State::Data) {
    out.file = &node_of(run.place.node);
    out.file_offset = run.offset;
    if (shows_holes()) {
      const Extent below = TRY(node_of(run.place.node).extent(run.offset, run.length));
      out.length = below.length;
      out.zero = below.zero;
    }
  }
  return out;
}

Result<> ClusterImage::resize(uint64_t, Preallocation) {
  return fail(ErrorKind::Unsupported, "Image format driver does not support resize");
}

}  // namespace rhea::block
