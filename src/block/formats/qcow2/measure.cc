// How large the file of a qcow2 image gets. Counts the clusters of the finished image: header, tables,
// refcounts, data.
#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/create.h"
#include "block/formats/qcow2/header.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

uint64_t divide_up(uint64_t value, uint64_t by) {
  return value / by + (value % by != 0 ? 1 : 0);
}

// Clusters of refcount blocks and table for `clusters` others; both count themselves too.
uint64_t refcount_clusters(uint64_t clusters, const Header& header) {
  uint64_t blocks = 0;
  uint64_t table = 0;
  while (true) {
    const uint64_t total = clusters + blocks + table;
    const uint64_t need_blocks = divide_up(total, header.refcounts_per_block());
    const uint64_t need_table = divide_up(need_blocks * 8, header.cluster_size());
    if (need_blocks == blocks && need_table == table) return blocks + table;
    blocks = need_blocks;
    table = need_table;
  }
}

// Metadata for an image of `size` bytes whose data takes `data` bytes.
uint64_t total_bytes(uint64_t size, const Header& header, uint64_t data) {
  const uint64_t cluster = header.cluster_size();
  const uint64_t aligned = size / cluster * cluster + (size % cluster != 0 ? cluster : 0);
  const uint64_t l2_tables = divide_up(aligned / cluster * header.l2_entry_size(), cluster);
  const uint64_t l1_clusters = divide_up(l2_tables * 8, cluster);
  const uint64_t others = 1 + l1_clusters + l2_tables + aligned / cluster;
  const uint64_t metadata = 1 + l1_clusters + l2_tables + refcount_clusters(others, header);
  return metadata * cluster + data;
}

// Bytes of clusters that a copy of the source must hold.
Result<uint64_t> data_bytes(ImageNode& source, uint64_t cluster) {
  uint64_t total = 0;
  uint64_t counted_to = 0;
  for (uint64_t at = 0; at < source.size();) {
    const ChainExtent there = TRY(chain_extent(source, at, source.size() - at));
    const uint64_t end = at + there.extent.length;
    if (there.extent.data && !there.extent.zero) {
      const uint64_t begin = std::max(counted_to, align_down(at, cluster));
      const uint64_t stop = *checked_align_up(end, cluster);
      if (stop > begin) total += stop - begin;
      counted_to = std::max(counted_to, stop);
    }
    at = end;
  }
  return total;
}

}  // namespace

Result<Measurement> measure_image(const MeasureRequest& request) {
  Header header;
  const CreateValues& values = request.values;
  header.cluster_bits = TRY(parse_cluster_bits(values));
  const uint64_t cluster_size = header.cluster_size();
  if (values.flag("extended_l2", false)) header.incompatible |= kExtendedL2;
  header.refcount_order = TRY(parse_refcount_order(values));
  uint64_t luks = 0;
  if (values.text("encrypt.format") == "luks")
    luks = *checked_align_up(TRY(crypto::LuksHeader::payload_offset_of(values, "encrypt.")), cluster_size);
  const uint64_t size = request.source != nullptr ? request.source->size() : request.size;
  const uint64_t rounded = checked_align_up(size, 512).value_or(size);
  if (rounded > static_cast<uint64_t>(INT64_MAX) || header.l1_entries_for(rounded) > kMaxL1Bytes / 8)
    return fail(ErrorKind::OutOfRange, "The image size is too large (try using a larger cluster size)");
  const uint64_t aligned = *checked_align_up(rounded, cluster_size);
  const std::string word = values.text("preallocation", "off");
  const auto mode = parse_preallocation(word);
  if (!mode) return failf(ErrorKind::Invalid, "invalid parameter value: {}", word);
  uint64_t data = *mode == Preallocation::Full || *mode == Preallocation::Falloc ? aligned : 0;
  if (data == 0 && request.source != nullptr) data = TRY(data_bytes(*request.source, cluster_size));
  Measurement out{.required = total_bytes(rounded, header, data),
                  .fully_allocated = total_bytes(rounded, header, aligned),
                  .bitmaps = std::nullopt};
  out.required += luks;
  out.fully_allocated += luks;
  // Said whenever there could be bitmaps to copy.
  const auto* source = dynamic_cast<const Qcow2Image*>(request.source);
  if (source != nullptr && source->keeps_bitmaps() && values.text("compat", "1.1") != "0.10")
    out.bitmaps = source->bitmaps_bytes(cluster_size);
  return out;
}

}  // namespace rhea::block::qcow2
