// A disk image: a node of some format over a file (or over another node), with what only formats have. What
// only some formats can do stands in small interfaces of its own (facets.h).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "block/node.h"
#include "block/value.h"

namespace rhea::block {

class FormatDriver;
class ImageNode;

// What a header says about the image behind this one.
struct BackingReference {
  std::string file;    // as written in the header; empty: none
  std::string format;  // empty: to be probed
};

struct SnapshotInfo {
  std::string id;
  std::string name;
  uint64_t vm_state_size = 0;
  uint64_t date_s = 0;
  uint32_t date_ns = 0;
  uint64_t vm_clock_ns = 0;
  std::optional<uint64_t> icount;
};

// What `info` prints besides the names and sizes that every node has.
struct ImageInfo {
  std::optional<uint64_t> cluster_size;
  std::optional<uint64_t> actual_size;  // only if it is not the one of the file below
  bool encrypted = false;
  bool compressed = false;  // only streamOptimized VMDK says so
  bool dirty = false;
  bool has_dirty_flag = true;  // false: JSON says nothing about it
  std::vector<SnapshotInfo> snapshots;
  Value::Dict specific;  // may be empty
};

class ImageNode : public BlockNode {
 public:
  ImageNode(const FormatDriver& driver, std::unique_ptr<BlockNode> file)
      : driver_(driver), file_(std::move(file)) {}

  const FormatDriver& driver() const { return driver_; }
  // The node that the format lies in. Null only after it was given away.
  BlockNode& file() const { return *file_; }
  // The name that the image was opened by.
  const std::string& filename() const { return filename_; }
  void set_filename(std::string name) { filename_ = std::move(name); }

  // What `info` calls the format: the driver's name, or a protocol's that was named as the image itself.
  std::string_view shown_format() const;
  void set_shown_format(std::string format) { shown_format_ = std::move(format); }

  virtual ImageInfo info() const { return {}; }
  // Of an image that was just made: whether what nobody wrote reads as zeros.
  virtual bool fresh_reads_as_zeros() const { return true; }
  // Where unallocated parts are read from. Opened by open_image() after the format's own open().
  virtual BackingReference backing_reference() const { return {}; }
  ImageNode* backing() const { return backing_.get(); }
  void set_backing(std::unique_ptr<ImageNode> backing) { backing_ = std::move(backing); }

 protected:
  // Reads from the backing image; zeros where there is none or it is shorter.
  Result<> read_backing(uint64_t offset, std::span<uint8_t> into);
  bool read_backing_at_once(uint64_t offset, std::span<const iovec> into);

 private:
  const FormatDriver& driver_;
  std::unique_ptr<BlockNode> file_;
  std::unique_ptr<ImageNode> backing_;
  std::string filename_;
  std::string shown_format_;
};

// What the chain says about a range, each image asked in turn: `depth` 0 is `top`. Nothing allocated anywhere
// reads as zeros.
struct ChainExtent {
  Extent extent;
  unsigned depth = 0;
};
Result<ChainExtent> chain_extent(ImageNode& top, uint64_t offset, uint64_t length,
                                 const ImageNode* base = nullptr);

}  // namespace rhea::block
