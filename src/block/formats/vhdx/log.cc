#include "block/formats/vhdx/log.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block::vhdx {
namespace {

constexpr uint32_t kEntryMagic = 0x65676f6c;   // "loge"
constexpr uint32_t kDataMagic = 0x63736564;    // "desc"
constexpr uint32_t kZeroMagic = 0x6f72657a;    // "zero"
constexpr uint32_t kSectorMagic = 0x61746164;  // "data"
constexpr size_t kSector = 4096;
constexpr uint64_t kLargestLog = 64 * kMiB;

struct EntryHeader {
  le32 magic;
  le32 checksum;
  le32 length;
  le32 tail;
  le64 sequence;
  le32 descriptors;
  le32 unused;
  Uuid log_id;
  le64 flushed_file_size;
  le64 last_file_size;
};
static_assert(sizeof(EntryHeader) == 64);

struct Descriptor {
  le32 magic;
  le32 trailing;  // the last 4 bytes of a data sector
  le64 leading;   // its first 8 bytes; of a zero descriptor: the length
  le64 offset;
  le64 sequence;
};
static_assert(sizeof(Descriptor) == 32);

class Log {
 public:
  Log(std::vector<uint8_t> bytes, const Uuid& id)
      : bytes_(std::move(bytes)),
        id_(id),
        known_(bytes_.size() / kSector, Known::No),
        checksum_budget_(bytes_.size() * kMostOverlap) {}

  // The entry at `at`, if it is whole and of this log.
  std::optional<EntryHeader> entry_at(size_t at) {
    EntryHeader header;
    std::memcpy(&header, bytes_.data() + at, sizeof header);
    if (header.magic != kEntryMagic || header.log_id != id_ || header.length < kSector ||
        header.length % kSector != 0 || header.length > bytes_.size() || header.tail % kSector != 0 ||
        header.tail >= bytes_.size() || header.sequence == 0)
      return std::nullopt;
    if (header.descriptors > (header.length - sizeof header) / sizeof(Descriptor)) return std::nullopt;
    Known& known = known_[at / kSector];
    if (known == Known::No) known = is_whole(at, header) ? Known::Good : Known::Bad;
    if (known == Known::Bad) return std::nullopt;
    return header;
  }

  // An entry's bytes; it may go round the end of the log.
  std::vector<uint8_t> whole(size_t at, size_t length) const {
    std::vector<uint8_t> out(length);
    const size_t first = std::min(length, bytes_.size() - at);
    std::memcpy(out.data(), bytes_.data() + at, first);
    std::memcpy(out.data() + first, bytes_.data(), length - first);
    return out;
  }

  size_t next(size_t at, const EntryHeader& header) const { return (at + header.length) % bytes_.size(); }
  size_t size() const { return bytes_.size(); }

 private:
  enum class Known : uint8_t { No, Good, Bad };
  // Entries lie behind one another, and the remains of older ones below them. What overlaps more often than
  // this was made to keep us busy.
  static constexpr uint64_t kMostOverlap = 16;

  bool is_whole(size_t at, const EntryHeader& header) {
    if (header.length > checksum_budget_) return false;
    checksum_budget_ -= header.length;
    return checksum_of(whole(at, header.length), 4) == header.checksum;
  }

  std::vector<uint8_t> bytes_;
  Uuid id_;
  std::vector<Known> known_;  // by sector
  uint64_t checksum_budget_;  // bytes
};

struct Sequence {
  size_t tail = 0;
  size_t entries = 0;
  uint64_t last_sequence = 0;
};

// The entries from `at` on, each the next in number. Valid if the last one's tail is the first.
std::optional<Sequence> sequence_from(Log& log, size_t at) {
  Sequence out{.tail = at};
  size_t covered = 0;
  uint32_t tail = 0;
  while (const auto entry = log.entry_at(at)) {
    if (out.entries != 0 && entry->sequence != out.last_sequence + 1) break;
    covered += entry->length;
    if (covered > log.size()) break;
    out.last_sequence = entry->sequence;
    tail = entry->tail;
    ++out.entries;
    at = log.next(at, *entry);
  }
  if (out.entries == 0 || tail != out.tail) return std::nullopt;
  return out;
}

Result<> apply_data(BlockNode& file, const Descriptor& descriptor, std::span<const uint8_t> sector) {
  if (load_le<uint32_t>(sector.data()) != kSectorMagic)
    return fail(ErrorKind::Invalid, "a data sector of the log is damaged");
  std::array<uint8_t, kSector> bytes{};
  std::memcpy(bytes.data(), sector.data(), kSector);
  store_le<uint64_t>(bytes.data(), descriptor.leading);
  store_le<uint32_t>(bytes.data() + kSector - 4, descriptor.trailing);
  return file.write(descriptor.offset, bytes);
}

Result<> apply_entry(BlockNode& file, const EntryHeader& header, std::span<const uint8_t> bytes) {
  const size_t head =
      *checked_align_up<size_t>(sizeof header + header.descriptors * sizeof(Descriptor), kSector);
  size_t sector = head;
  for (uint32_t i = 0; i < header.descriptors; ++i) {
    Descriptor descriptor;
    std::memcpy(&descriptor, bytes.data() + sizeof header + i * sizeof descriptor, sizeof descriptor);
    const bool is_zero = descriptor.magic == kZeroMagic;
    const uint64_t length = is_zero ? descriptor.leading.get() : kSector;
    if ((!is_zero && descriptor.magic != kDataMagic) || descriptor.sequence != header.sequence ||
        descriptor.offset % kSector != 0 || length % kSector != 0 ||
        !range_within(descriptor.offset, length, std::max<uint64_t>(file.size(), header.last_file_size)))
      return failf(ErrorKind::Invalid, "the log describes {} bytes at {} in a file of {} bytes", length,
                   descriptor.offset.get(), file.size());
    if (is_zero) {
      TRY(file.write_zeroes(descriptor.offset, length, ZeroMode::MayUnmap));
      continue;
    }
    if (sector + kSector > bytes.size()) return fail(ErrorKind::Invalid, "an entry of the log is too short");
    TRY(apply_data(file, descriptor, bytes.subspan(sector, kSector)));
    sector += kSector;
  }
  return {};
}

}  // namespace

Result<> replay_log(BlockNode& file, const Header& header) {
  if (header.log_length == 0 || header.log_length % kMiB != 0 || header.log_length > kLargestLog ||
      !range_within(header.log_offset, header.log_length, file.size()))
    return failf(ErrorKind::Invalid, "the log of {} bytes at {} does not fit the file of {} bytes",
                 header.log_length.get(), header.log_offset.get(), file.size());
  std::vector<uint8_t> bytes(header.log_length);
  TRY(file.read(header.log_offset, bytes));
  Log log(std::move(bytes), header.log_id);
  std::optional<Sequence> best;
  for (size_t at = 0; at < log.size(); at += kSector) {
    const auto found = sequence_from(log, at);
    if (found && (!best || found->last_sequence > best->last_sequence)) best = found;
  }
  if (!best) return fail(ErrorKind::Invalid, "the log has no valid entries");
  size_t at = best->tail;
  for (size_t i = 0; i < best->entries; ++i) {
    const auto entry = log.entry_at(at);
    if (!entry) return fail(ErrorKind::Invalid, "the log has no valid entries");
    TRY(apply_entry(file, *entry, log.whole(at, entry->length)));
    at = log.next(at, *entry);
  }
  return file.flush();
}

}  // namespace rhea::block::vhdx
