// What only some formats can do, one small interface each. A format's node derives from those it has; a user
// asks with facet<T>(image), null if the format cannot.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "block/create_options.h"
#include "block/image.h"

namespace rhea::block {

template <class T>
T* facet(BlockNode& node) {
  return dynamic_cast<T*>(&node);
}

// -- convert -c
// ----------------------------------------------------------------------------------------------
class CompressedWriter {
 public:
  virtual ~CompressedWriter() = default;
  // Bytes that are compressed at a time; offsets are multiples of it.
  virtual size_t compression_unit() const = 0;
  // Any number of threads at once. Empty: it does not shrink (and is written as it is).
  virtual Result<std::vector<uint8_t>> compress(std::span<const uint8_t> plain) = 0;
  // `packed` is what compress() gave for `plain`, one unit (shorter only at the end of the image).
  virtual Result<> write_compressed(uint64_t offset, std::span<const uint8_t> packed,
                                    std::span<const uint8_t> plain) = 0;
};

// -- writing in parallel with a layout that does not depend on timing ---------------------------------------
// A writer that streams calls reserve() for one range after the other, in order, and then write() for each
// from any thread in any order. The range holds unspecified data until it was written.
class ReservingWriter {
 public:
  virtual ~ReservingWriter() = default;
  virtual Result<> reserve(uint64_t offset, uint64_t length) = 0;
  // Parts that begin and end at multiples of this need not be whole clusters; 0: they must.
  virtual uint64_t reserve_unit() const { return 0; }
};

// -- check
// -----------------------------------------------------------------------------------------------------
enum class Repair { None, Leaks, All };

struct CheckReport {
  uint64_t corruptions = 0;
  uint64_t leaks = 0;
  uint64_t corruptions_fixed = 0;
  uint64_t leaks_fixed = 0;
  uint64_t check_errors = 0;
  uint64_t image_end_offset = 0;
  uint64_t total_clusters = 0;  // all three 0: not printed
  uint64_t allocated_clusters = 0;
  uint64_t compressed_clusters = 0;
  uint64_t fragmented_clusters = 0;
  std::vector<std::string> messages;  // lines for stderr, in order: "Leaked cluster 5 refcount=1 reference=0"
};

class Checker {
 public:
  virtual ~Checker() = default;
  virtual Result<CheckReport> check(Repair repair) = 0;
};

// -- snapshots
// -------------------------------------------------------------------------------------------------
class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;
  virtual std::vector<SnapshotInfo> list_snapshots() const = 0;
  virtual Result<> create_snapshot(SnapshotInfo info) = 0;  // gives it the next free id
  virtual Result<> apply_snapshot(const std::string& id_or_name) = 0;
  virtual Result<> delete_snapshot(const std::string& id_or_name) = 0;
  // From now on the image reads as the snapshot did; for images opened read-only (convert -l).
  virtual Result<> read_from_snapshot(const std::string& id_or_name) = 0;
};

// -- rebase, and the header's backing file in general
// --------------------------------------------------------
class BackingChanger {
 public:
  virtual ~BackingChanger() = default;
  virtual Result<> change_backing(const BackingReference& reference) = 0;
  // Whole units (the last one up to the image's end) read as zeros from now on, whatever backs the image
  // later. 0: there is no such mark, zeros have to be written.
  virtual uint64_t zero_mark_unit() const { return 0; }
  virtual Result<> mark_zero(uint64_t offset, uint64_t length) = 0;
};

// -- commit: emptying an image whose content went to its backing image
// ------------------------------------------
class Emptier {
 public:
  virtual ~Emptier() = default;
  virtual Result<> make_empty() = 0;
};

// -- amend
// -----------------------------------------------------------------------------------------------------
class Amender {
 public:
  virtual ~Amender() = default;
  using Progress = std::function<void(uint64_t done, uint64_t total)>;
  // `values` are checked against the driver's amend_options(). What is not named stays as it is. `force`:
  // even what makes the image unreadable for ever.
  virtual Result<> amend(const CreateValues& values, bool force, const Progress& progress) = 0;
};

// -- dirty bitmaps
// -----------------------------------------------------------------------------------------------
struct BitmapInfo {
  std::string name;
  uint64_t granularity = 0;
  bool recording = false;  // "auto"
  bool in_use = false;     // was not stored properly: inconsistent
};

struct DirtyRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Changes are stored by close().
class BitmapStore {
 public:
  virtual ~BitmapStore() = default;
  // Whether this image can have any (old versions of a format cannot).
  virtual bool keeps_bitmaps() const = 0;
  virtual std::vector<BitmapInfo> list_bitmaps() const = 0;
  // A granularity of 0 is the format's default.
  virtual Result<> add_bitmap(const std::string& name, uint64_t granularity, bool recording) = 0;
  virtual Result<> remove_bitmap(const std::string& name) = 0;
  virtual Result<> clear_bitmap(const std::string& name) = 0;
  virtual Result<> set_recording(const std::string& name, bool recording) = 0;
  // The first `most` dirty ranges at or behind `from`.
  virtual Result<std::vector<DirtyRange>> dirty_ranges(const std::string& name, uint64_t from,
                                                       size_t most) = 0;
  virtual Result<> mark_dirty(const std::string& name, const DirtyRange& range) = 0;
};

}  // namespace rhea::block
