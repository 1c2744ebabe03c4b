// What every part of the block layer is: a node, an array of bytes that can be read and written. Protocols
// (protocols/) are nodes over a host's file or network, formats (formats/) nodes over other nodes.
//
// Calls are synchronous and safe from any thread: a node locks its metadata for as long as it looks at it and
// moves data without a lock, so that parallelism is a matter of how many threads call (jobs/ bring their own,
// device models hand requests to async::WorkerPool). For files in the page cache this beats every scheme with
// a queue; with O_DIRECT the number of threads is the queue depth.
//
// Offsets and lengths are bytes, of any alignment. A request that leaves [0, size()) is an error for formats;
// protocols read zeros there and grow on writes.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace rhea::block {

class BlockNode;

// What a range of a node holds. Exactly one of these for the whole of `length`.
struct Extent {
  uint64_t length = 0;     // from the offset asked for; never 0, never more than asked for
  bool allocated = false;  // this node decides what is read, not the node that backs it
  bool zero = false;       // known to read as zeros
  bool data = false;       // occupies space in a file (a preallocated zero cluster has data and zero)
  bool compressed = false;
  const BlockNode* file = nullptr;  // where the bytes lie as they are read, and at which offset there
  uint64_t file_offset = 0;

  // Whether `next`, directly behind this one, continues it.
  bool continues_into(const Extent& next) const {
    return allocated == next.allocated && zero == next.zero && data == next.data &&
           compressed == next.compressed && file == next.file &&
           (file == nullptr || file_offset + length == next.file_offset);
  }
};

inline uint64_t bytes_of(std::span<const iovec> pieces) {
  uint64_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

void fill_zero(std::span<const iovec> pieces);

// Pieces of memory, taken from the front.
class Pieces {
 public:
  explicit Pieces(std::span<const iovec> pieces) : rest_(pieces) {}
  // The next `bytes`, or all that is left.
  std::vector<iovec> take(uint64_t bytes);

 private:
  std::span<const iovec> rest_;
  uint64_t used_ = 0;  // of the first
};

enum class Preallocation { Off, Metadata, Falloc, Full };
enum class ZeroMode { MayUnmap, KeepAllocated };

class BlockNode {
 public:
  BlockNode() = default;
  BlockNode(const BlockNode&) = delete;
  BlockNode& operator=(const BlockNode&) = delete;
  // Does not write anything any more: who wrote calls close() first.
  virtual ~BlockNode() = default;

  virtual uint64_t size() const = 0;
  virtual Result<> read(uint64_t offset, std::span<uint8_t> into) = 0;
  // Reads one piece behind the other what can be had without waiting for the host's disk. False: it is not
  // known to be so, or something is wrong; read() tells. The pieces may have been written then.
  virtual bool read_at_once(uint64_t offset, std::span<const iovec> into) {
    static_cast<void>(offset);
    static_cast<void>(into);
    return false;
  }
  virtual Result<> write(uint64_t offset, std::span<const uint8_t> from) = 0;
  // Afterwards the range reads as zeros. Cheap where the node can be told; else zeros are written.
  virtual Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) = 0;
  // A hint: the content of the range is not needed any more (it may read as anything the node likes).
  virtual Result<> discard(uint64_t offset, uint64_t length) = 0;
  // All that was written is on the disk (or has left this process, with cache=unsafe).
  virtual Result<> flush() = 0;
  // What lies at `offset`; looks no further than `length` and may stop earlier. Both inside size().
  virtual Result<Extent> extent(uint64_t offset, uint64_t length) = 0;
  virtual Result<> resize(uint64_t size, Preallocation preallocation) = 0;
  // Writes back all metadata and marks the image clean; nothing but the destructor is called afterwards.
  virtual Result<> close() { return flush(); }
};

// Whether all bytes are zero; about as fast as memory.
bool is_zero(std::span<const uint8_t> bytes);

// Writes the same byte everywhere, in pieces: what is left to do where a node cannot be told.
Result<> write_filled(BlockNode& node, uint64_t offset, uint64_t length, uint8_t byte);

// The error for a request outside of a node.
Result<> check_range(uint64_t offset, uint64_t length, uint64_t size);

}  // namespace rhea::block
