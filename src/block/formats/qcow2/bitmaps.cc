// Persistent dirty bitmaps (qcow2 specification, "Bitmaps extension"). The directory is small and in memory,
// the bits of a bitmap are read when they are needed.
//
// What is stored is never changed in place: new tables and a new directory are written, then the header is
// switched over to them, then the old ones are given up. Bitmaps that record are marked "in use" on the disk
// before the first guest write and are stored by close(); a process that dies in between leaves them marked,
// which makes them inconsistent for whoever comes next.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "base/log.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kMaxDirectory = uint64_t{kMaxBitmaps} * 1024;

uint64_t bits_for(uint64_t size, uint64_t granularity) {
  return size / granularity + (size % granularity != 0 ? 1 : 0);
}

std::unexpected<Error> bad_directory() {
  return fail(ErrorKind::Invalid, "The bitmap directory is damaged");
}

// One entry from the front of `bytes`, which loses it.
Result<Bitmap> parse_bitmap(std::span<const uint8_t>& bytes) {
  RawBitmap raw;
  if (bytes.size() < sizeof raw) return bad_directory();
  std::memcpy(&raw, bytes.data(), sizeof raw);
  const uint64_t whole = (sizeof raw + uint64_t{raw.extra_data_size} + raw.name_size + 7) & ~uint64_t{7};
  if (whole > bytes.size()) return bad_directory();
  if (raw.name_size == 0 || raw.name_size > kMaxBitmapName || raw.granularity_bits < kMinGranularityBits ||
      raw.granularity_bits > kMaxGranularityBits)
    return bad_directory();
  Bitmap out;
  out.table_offset = raw.table_offset;
  out.table_size = raw.table_size;
  out.type = raw.type;
  out.info.granularity = uint64_t{1} << raw.granularity_bits;
  out.info.in_use = (raw.flags & kBitmapInUse) != 0;
  out.info.recording = (raw.flags & kBitmapAuto) != 0;
  out.other_flags = raw.flags & ~(kBitmapInUse | kBitmapAuto);
  const auto rest = bytes.subspan(sizeof raw);
  out.extra.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(raw.extra_data_size));
  const auto name = rest.subspan(raw.extra_data_size, raw.name_size);
  out.info.name.assign(name.begin(), name.end());
  bytes = bytes.subspan(whole);
  return out;
}

void append_bitmap(const Bitmap& bitmap, std::vector<uint8_t>& bytes) {
  RawBitmap raw;
  raw.table_offset = bitmap.table_offset;
  raw.table_size = bitmap.table_size;
  raw.flags = bitmap.other_flags | (bitmap.info.in_use || bitmap.open ? kBitmapInUse : 0) |
              (bitmap.info.recording ? kBitmapAuto : 0);
  raw.type = bitmap.type;
  raw.granularity_bits = static_cast<uint8_t>(std::countr_zero(bitmap.info.granularity));
  raw.name_size = static_cast<uint16_t>(bitmap.info.name.size());
  raw.extra_data_size = static_cast<uint32_t>(bitmap.extra.size());
  const size_t at = bytes.size();
  bytes.resize(at + sizeof raw);
  std::memcpy(&bytes[at], &raw, sizeof raw);
  bytes.insert(bytes.end(), bitmap.extra.begin(), bitmap.extra.end());
  bytes.insert(bytes.end(), bitmap.info.name.begin(), bitmap.info.name.end());
  bytes.resize((bytes.size() + 7) & ~size_t{7});
}

}  // namespace

Result<> Qcow2Image::load_bitmaps() {
  const Extension* extension = header_.extension(kExtensionBitmaps);
  if (extension == nullptr) return {};
  if (!keeps_bitmaps() || (header_.autoclear & kBitmapsValid) == 0) {
    // Somebody who does not know bitmaps wrote meanwhile.
    if (flags_.writable && !flags_.for_check)
      warn_line(
          "a program lacking bitmap support modified this file, so all bitmaps are now considered "
          "inconsistent\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix.");
    header_.remove_extension(kExtensionBitmaps);
    return {};
  }
  if (extension->data.size() != sizeof(RawBitmapsExtension)) return bad_directory();
  RawBitmapsExtension raw;
  std::memcpy(&raw, extension->data.data(), sizeof raw);
  if (raw.count == 0 || raw.count > kMaxBitmaps || raw.directory_size > kMaxDirectory ||
      !is_aligned(raw.directory_offset.get(), cluster_size_) ||
      !range_within(raw.directory_offset, raw.directory_size, file().size())) {
    if (flags_.for_check) return {};
    return bad_directory();
  }
  std::vector<uint8_t> bytes(raw.directory_size);
  TRY(file().read(raw.directory_offset, bytes));
  std::span<const uint8_t> rest = bytes;
  for (uint32_t i = 0; i < raw.count; ++i) bitmaps_.push_back(TRY(parse_bitmap(rest)));
  refcounts_.protect(raw.directory_offset, raw.directory_size);
  return {};
}

Result<std::vector<uint64_t>> Qcow2Image::read_bitmap_table(uint64_t offset, uint32_t entries) {
  if (entries > kMaxBitmapBytes / cluster_size_ + 1 || !is_aligned(offset, cluster_size_) ||
      !range_within(offset, uint64_t{entries} * 8, file().size()))
    return fail(ErrorKind::Invalid, "a bitmap's table is damaged");
  return read_l1(offset, entries);
}

Result<> Qcow2Image::load_bits(Bitmap& bitmap) {
  if (bitmap.bits) return {};
  DirtyBits bits(bits_for(header_.size, bitmap.info.granularity), cluster_size_);
  if (bits.cells() != bitmap.table_size || bits.count() / 8 > kMaxBitmapBytes)
    return failf(ErrorKind::Invalid, "Bitmap '{}' does not fit the image", bitmap.info.name);
  const std::vector<uint64_t> table = TRY(read_bitmap_table(bitmap.table_offset, bitmap.table_size));
  for (uint64_t i = 0; i < table.size(); ++i) {
    const uint64_t place = table[i] & kOffsetMask;
    if (place == 0) {
      if ((table[i] & kBitmapAllOnes) != 0) bits.set_cell_ones(i);
      continue;
    }
    if (!is_aligned(place, cluster_size_) || !range_within(place, cluster_size_, file().size()))
      return failf(ErrorKind::Invalid, "Bitmap '{}' has its bits outside of the file", bitmap.info.name);
    std::vector<uint8_t> bytes(cluster_size_);
    TRY(file().read(place, bytes));
    bits.set_cell(i, std::move(bytes));
  }
  bitmap.bits = std::move(bits);
  return {};
}

// To a new place; the old one is noted as given up.
Result<> Qcow2Image::write_bits(Bitmap& bitmap) {
  const DirtyBits& bits = *bitmap.bits;
  std::vector<uint8_t> table(bits.cells() * 8);
  for (uint64_t i = 0; i < bits.cells(); ++i) {
    uint64_t entry = 0;
    if (bits.content(i) == DirtyBits::Content::Ones) entry = kBitmapAllOnes;
    if (bits.content(i) == DirtyBits::Content::Mixed) {
      entry = TRY(refcounts_.allocate(1));
      TRY(file().write(entry, bits.bytes(i)));
    }
    store_be(&table[i * 8], entry);
  }
  if (bitmap.table_size != 0) given_up_tables_.emplace_back(bitmap.table_offset, bitmap.table_size);
  bitmap.table_offset = 0;
  bitmap.table_size = static_cast<uint32_t>(bits.cells());
  if (!table.empty()) {
    bitmap.table_offset =
        TRY(refcounts_.allocate((table.size() + cluster_size_ - 1) >> header_.cluster_bits));
    TRY(file().write(bitmap.table_offset, table));
  }
  bitmap.changed = false;
  return {};
}

Result<> Qcow2Image::store_bitmaps() {
  std::vector<uint8_t> directory;
  for (Bitmap& bitmap : bitmaps_) {
    if (bitmap.changed && !bitmap.open) TRY(write_bits(bitmap));
    append_bitmap(bitmap, directory);
  }
  const auto clusters_of = [this](uint64_t bytes) {
    return (bytes + cluster_size_ - 1) >> header_.cluster_bits;
  };
  RawBitmapsExtension old;
  if (const Extension* extension = header_.extension(kExtensionBitmaps))
    std::memcpy(&old, extension->data.data(), std::min(sizeof old, extension->data.size()));
  header_.remove_extension(kExtensionBitmaps);
  header_.autoclear &= ~kBitmapsValid;
  if (!directory.empty()) {
    RawBitmapsExtension raw;
    raw.count = static_cast<uint32_t>(bitmaps_.size());
    raw.directory_size = directory.size();
    raw.directory_offset = TRY(refcounts_.allocate(clusters_of(directory.size())));
    TRY(file().write(raw.directory_offset, directory));
    refcounts_.protect(raw.directory_offset, directory.size());
    std::vector<uint8_t> data(sizeof raw);
    std::memcpy(data.data(), &raw, sizeof raw);
    header_.set_extension(kExtensionBitmaps, std::move(data));
    header_.autoclear |= kBitmapsValid;
  }
  TRY(flush_metadata());
  TRY(file().flush());
  TRY(write_header());
  if (old.directory_size != 0) {
    refcounts_.unprotect(old.directory_offset, old.directory_size);
    refcounts_.free(old.directory_offset, clusters_of(old.directory_size));
  }
  for (const auto& [offset, entries] : std::exchange(given_up_tables_, {})) {
    const auto table = read_bitmap_table(offset, entries);
    if (!table) continue;  // damaged: a leak at most
    for (const uint64_t entry : *table) {
      if ((entry & kOffsetMask) != 0) refcounts_.free(entry & kOffsetMask, 1);
    }
    refcounts_.free(offset, clusters_of(uint64_t{entries} * 8));
  }
  bitmaps_changed_ = false;
  return flush_metadata();
}

Result<Bitmap*> Qcow2Image::find_bitmap(const std::string& name, bool usable) {
  const auto found =
      std::ranges::find_if(bitmaps_, [&](const Bitmap& bitmap) { return bitmap.info.name == name; });
  if (found == bitmaps_.end()) return failf(ErrorKind::NotFound, "Dirty bitmap '{}' not found", name);
  if (usable && !found->usable())
    return failf(
        ErrorKind::Invalid,
        "Bitmap '{}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this "
        "bitmap from disk",
        name);
  return &*found;
}

std::vector<BitmapInfo> Qcow2Image::list_bitmaps() const {
  const std::lock_guard lock(mutex_);
  std::vector<BitmapInfo> out;
  for (const Bitmap& bitmap : bitmaps_) {
    out.push_back(bitmap.info);
    out.back().in_use = !bitmap.usable();
  }
  return out;
}

Result<> Qcow2Image::add_bitmap(const std::string& name, uint64_t granularity, bool recording) {
  const std::lock_guard lock(mutex_);
  if (granularity == 0) granularity = std::clamp<uint64_t>(cluster_size_, 4096, 65536);
  if (!std::has_single_bit(granularity) || granularity < (uint64_t{1} << kMinGranularityBits) ||
      granularity > (uint64_t{1} << kMaxGranularityBits))
    return fail(ErrorKind::Invalid, "Granularity must be power of 2 and at least 512");
  if (name.empty()) return fail(ErrorKind::Invalid, "Bitmap name cannot be empty");
  if (find_bitmap(name, false)) return failf(ErrorKind::Invalid, "Bitmap already exists: {}", name);
  const std::string refused = fmt::format("Can't make bitmap '{}' persistent in '{}': ", name, filename());
  if (!keeps_bitmaps())
    return failf(ErrorKind::Unsupported, "{}Cannot store dirty bitmaps in qcow2 v2 files", refused);
  if (name.size() > kMaxBitmapName)
    return failf(ErrorKind::Invalid, "{}Name length exceeds maximum ({} characters)", refused,
                 kMaxBitmapName);
  const uint64_t count = bits_for(header_.size, granularity);
  if (count / 8 > kMaxBitmapBytes)
    return failf(ErrorKind::Invalid,
                 "{}Too much space will be occupied by the bitmap. Use larger granularity", refused);
  if (bitmaps_.size() >= kMaxBitmaps)
    return failf(ErrorKind::Invalid, "{}Maximum number of persistent bitmaps is already reached", refused);
  TRY(before_change());
  Bitmap fresh;
  fresh.info = {.name = name, .granularity = granularity, .recording = recording, .in_use = false};
  fresh.bits.emplace(count, cluster_size_);
  fresh.changed = true;
  bitmaps_.push_back(std::move(fresh));
  bitmaps_changed_ = true;
  bitmaps_recording_ = false;
  return {};
}

Result<> Qcow2Image::remove_bitmap(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const Bitmap* bitmap = TRY(find_bitmap(name, false));
  TRY(before_change());
  if (bitmap->table_size != 0) given_up_tables_.emplace_back(bitmap->table_offset, bitmap->table_size);
  bitmaps_.erase(bitmaps_.begin() + (bitmap - bitmaps_.data()));
  bitmaps_changed_ = true;
  return {};
}

Result<> Qcow2Image::clear_bitmap(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Bitmap* bitmap = TRY(find_bitmap(name));
  TRY(before_change());
  bitmap->bits.emplace(bits_for(header_.size, bitmap->info.granularity), cluster_size_);
  bitmap->changed = bitmaps_changed_ = true;
  return {};
}

Result<> Qcow2Image::set_recording(const std::string& name, bool recording) {
  const std::lock_guard lock(mutex_);
  Bitmap* bitmap = TRY(find_bitmap(name));
  TRY(before_change());
  bitmap->info.recording = recording;
  bitmaps_changed_ = true;
  bitmaps_recording_ = false;
  return {};
}

Result<std::vector<DirtyRange>> Qcow2Image::dirty_ranges(const std::string& name, uint64_t from,
                                                         size_t most) {
  const std::lock_guard lock(mutex_);
  Bitmap* bitmap = TRY(find_bitmap(name));
  TRY(load_bits(*bitmap));
  const uint64_t granularity = bitmap->info.granularity;
  std::vector<DirtyRange> out;
  for (uint64_t bit = from / granularity; out.size() < most;) {
    const auto run = bitmap->bits->next(bit);
    if (!run) break;
    const uint64_t offset = run->first * granularity;
    out.push_back({offset, std::min(run->count * granularity, header_.size - offset)});
    bit = run->first + run->count;
  }
  return out;
}

Result<> Qcow2Image::mark_dirty(const std::string& name, const DirtyRange& range) {
  const std::lock_guard lock(mutex_);
  Bitmap* bitmap = TRY(find_bitmap(name));
  TRY(before_change());
  TRY(load_bits(*bitmap));
  const uint64_t granularity = bitmap->info.granularity;
  bitmap->bits->set(range.offset / granularity,
                    bits_for(range.offset % granularity + range.length, granularity));
  bitmap->changed = bitmaps_changed_ = true;
  return {};
}

// Says on the disk that those who record (or all) do not hold until close().
Result<> Qcow2Image::open_bitmaps(bool all) {
  bool any = false;
  for (Bitmap& bitmap : bitmaps_) {
    if (!bitmap.usable() || bitmap.open || !(all || bitmap.info.recording)) continue;
    TRY(load_bits(bitmap));
    bitmap.open = any = true;
  }
  bitmaps_recording_ = true;
  return any ? store_bitmaps() : Result<>();
}

// The guest's data changes there. Lock held.
Result<> Qcow2Image::record(uint64_t offset, uint64_t length) {
  if (bitmaps_.empty() || length == 0) return {};
  if (!bitmaps_recording_) TRY(open_bitmaps(false));
  for (Bitmap& bitmap : bitmaps_) {
    if (!bitmap.open || !bitmap.info.recording) continue;
    const uint64_t granularity = bitmap.info.granularity;
    bitmap.bits->set(offset / granularity, bits_for(offset % granularity + length, granularity));
    bitmap.changed = true;
  }
  return {};
}

// Before the header gets its new size. What is new is clean.
Result<> Qcow2Image::resize_bitmaps(uint64_t size) {
  for (const Bitmap& bitmap : bitmaps_) TRY(find_bitmap(bitmap.info.name));
  TRY(open_bitmaps(true));
  for (Bitmap& bitmap : bitmaps_) {
    bitmap.bits->resize(bits_for(size, bitmap.info.granularity));
    bitmap.changed = true;
  }
  return {};
}

Result<> Qcow2Image::close_bitmaps() {
  bool any = bitmaps_changed_;
  for (Bitmap& bitmap : bitmaps_) any |= std::exchange(bitmap.open, false);
  bitmaps_recording_ = false;
  return any ? store_bitmaps() : Result<>();
}

Value::List Qcow2Image::bitmaps_value() const {
  Value::List out;
  for (const Bitmap& bitmap : bitmaps_) {
    Value::List flags;
    if (bitmap.info.in_use) flags.emplace_back("in-use");
    if (bitmap.info.recording) flags.emplace_back("auto");
    Value::Dict one;
    one.emplace_back("flags", std::move(flags));
    one.emplace_back("name", bitmap.info.name);
    one.emplace_back("granularity", bitmap.info.granularity);
    out.emplace_back(std::move(one));
  }
  return out;
}

uint64_t Qcow2Image::bitmaps_bytes(uint64_t cluster_size) const {
  const std::lock_guard lock(mutex_);
  const auto whole = [cluster_size](uint64_t bytes) {
    return (bytes + cluster_size - 1) / cluster_size * cluster_size;
  };
  uint64_t total = 0;
  uint64_t directory = 0;
  for (const Bitmap& bitmap : bitmaps_) {
    const uint64_t bytes = whole((bits_for(header_.size, bitmap.info.granularity) + 7) / 8);
    total += bytes + whole(bytes / cluster_size * 8);
    directory += (sizeof(RawBitmap) + bitmap.info.name.size() + 7) & ~size_t{7};
  }
  return total + whole(directory);
}

}  // namespace rhea::block::qcow2
