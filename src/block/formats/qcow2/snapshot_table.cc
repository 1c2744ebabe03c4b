// The table of internal snapshots: each one's names, times, sizes and the place of its L1 table.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint32_t kMaxExtraData = 1024;

std::string text_of(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Result<> Qcow2Image::load_snapshots() {
  snapshots_.clear();
  uint64_t at = header_.snapshots_offset;
  const uint64_t file_size = file().size();
  for (uint32_t i = 0; i < header_.nb_snapshots; ++i) {
    at = (at + 7) & ~uint64_t{7};
    uint8_t bytes[sizeof(RawSnapshot)];
    if (!range_within(at, sizeof bytes, file_size))
      return fail(ErrorKind::Invalid, "Failed to read snapshot table");
    TRY(file().read(at, bytes));
    RawSnapshot raw;
    std::memcpy(&raw, bytes, sizeof raw);
    at += sizeof raw;
    const uint32_t extra_size = raw.extra_data_size;
    if (extra_size > kMaxExtraData)
      return fail(ErrorKind::Invalid, "Too much extra metadata in snapshot table entry");
    std::vector<uint8_t> rest(extra_size + raw.id_size + raw.name_size);
    if (!range_within(at, rest.size(), file_size))
      return fail(ErrorKind::Invalid, "Failed to read snapshot table");
    TRY(file().read(at, rest));
    at += rest.size();
    RawSnapshotExtra extra;
    if (extra_size != 0) std::memcpy(&extra, rest.data(), std::min<size_t>(sizeof extra, extra_size));
    Snapshot one;
    one.l1_table_offset = raw.l1_table_offset;
    one.l1_size = raw.l1_size;
    if (!is_aligned(one.l1_table_offset, cluster_size_) || one.l1_size > kMaxL1Bytes / 8)
      return fail(ErrorKind::Invalid, "Snapshot L1 table offset invalid");
    one.info.vm_state_size = extra_size >= 8 ? extra.vm_state_size.get() : raw.vm_state_size.get();
    one.disk_size = extra_size >= 16 ? extra.disk_size.get() : header_.size;
    if (extra_size >= sizeof extra && extra.icount.get() != UINT64_MAX) one.info.icount = extra.icount.get();
    if (extra_size > sizeof extra)
      one.unknown_extra.assign(rest.begin() + sizeof extra, rest.begin() + extra_size);
    const auto names = std::span<const uint8_t>(rest).subspan(extra_size);
    one.info.id = text_of(names.first(raw.id_size));
    one.info.name = text_of(names.subspan(raw.id_size));
    one.info.date_s = raw.date_sec.get();
    one.info.date_ns = raw.date_nsec;
    one.info.vm_clock_ns = raw.vm_clock_nsec;
    snapshots_.push_back(std::move(one));
  }
  snapshot_table_bytes_ = header_.nb_snapshots == 0 ? 0 : at - header_.snapshots_offset;
  return {};
}

std::vector<uint8_t> snapshot_table(const std::vector<Snapshot>& snapshots) {
  std::vector<uint8_t> bytes;
  for (const Snapshot& one : snapshots) {
    bytes.resize((bytes.size() + 7) & ~size_t{7});
    RawSnapshot raw;
    raw.l1_table_offset = one.l1_table_offset;
    raw.l1_size = one.l1_size;
    raw.id_size = static_cast<uint16_t>(one.info.id.size());
    raw.name_size = static_cast<uint16_t>(one.info.name.size());
    raw.date_sec = static_cast<uint32_t>(one.info.date_s);
    raw.date_nsec = one.info.date_ns;
    raw.vm_clock_nsec = one.info.vm_clock_ns;
    raw.vm_state_size =
        one.info.vm_state_size > UINT32_MAX ? 0 : static_cast<uint32_t>(one.info.vm_state_size);
    raw.extra_data_size = static_cast<uint32_t>(sizeof(RawSnapshotExtra) + one.unknown_extra.size());
    RawSnapshotExtra extra;
    extra.vm_state_size = one.info.vm_state_size;
    extra.disk_size = one.disk_size;
    extra.icount = one.info.icount.value_or(UINT64_MAX);
    const auto add = [&bytes](const void* from, size_t size) {
      const auto* data = static_cast<const uint8_t*>(from);
      bytes.insert(bytes.end(), data, data + size);
    };
    add(&raw, sizeof raw);
    add(&extra, sizeof extra);
    add(one.unknown_extra.data(), one.unknown_extra.size());
    add(one.info.id.data(), one.info.id.size());
    add(one.info.name.data(), one.info.name.size());
  }
  return bytes;
}

Result<size_t> Qcow2Image::find_snapshot(const std::string& id_or_name) const {
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    if (snapshots_[i].info.id == id_or_name) return i;
  }
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    if (snapshots_[i].info.name == id_or_name) return i;
  }
  return fail(ErrorKind::NotFound, "snapshot not found");
}

std::vector<SnapshotInfo> Qcow2Image::list_snapshots() const {
  const std::lock_guard lock(mutex_);
  std::vector<SnapshotInfo> out;
  for (const Snapshot& snapshot : snapshots_) out.push_back(snapshot.info);
  return out;
}

}  // namespace rhea::block::qcow2
