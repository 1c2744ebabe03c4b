// The header cluster of a qcow2 image: fixed part, extensions and the backing file's name; read with every
// field checked, written as a whole.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "block/formats/qcow2/layout.h"

namespace rhea::block::qcow2 {

struct Extension {
  uint32_t type = 0;
  std::vector<uint8_t> data;
};

struct Header {
  uint32_t version = 3;
  unsigned cluster_bits = 16;
  uint64_t size = 0;
  uint32_t crypt_method = 0;
  uint32_t l1_size = 0;
  uint64_t l1_table_offset = 0;
  uint64_t refcount_table_offset = 0;
  uint32_t refcount_table_clusters = 0;
  uint32_t nb_snapshots = 0;
  uint64_t snapshots_offset = 0;
  uint64_t incompatible = 0;
  uint64_t compatible = 0;
  uint64_t autoclear = 0;
  unsigned refcount_order = 4;
  unsigned compression = kCompressionZlib;

  std::string backing_file;
  std::string backing_format;
  std::string data_file;
  std::vector<Extension> extensions;  // all others, as they are (bitmaps, encryption, unknown ones)

  uint64_t cluster_size() const { return uint64_t{1} << cluster_bits; }
  bool extended_l2() const { return (incompatible & kExtendedL2) != 0; }
  unsigned l2_entry_size() const { return extended_l2() ? 16 : 8; }
  uint64_t l2_entries() const { return cluster_size() / l2_entry_size(); }
  uint64_t subcluster_size() const { return extended_l2() ? cluster_size() / kSubclusters : cluster_size(); }
  unsigned refcount_bits() const { return 1u << refcount_order; }
  uint64_t refcounts_per_block() const { return (cluster_size() * 8) >> refcount_order; }
  // L1 entries that an image of `bytes` needs.
  uint64_t l1_entries_for(uint64_t bytes) const;
  const Extension* extension(uint32_t type) const;
  void set_extension(uint32_t type, std::vector<uint8_t> data);
  void remove_extension(uint32_t type);
};

// `start` is the first cluster, or as much of 2 MiB as the file has. `damaged_is_fine`: for check.
Result<Header> parse_header(std::span<const uint8_t> start, uint64_t file_size, bool damaged_is_fine);
// The bytes of the header, its extensions and the name; an error if they do not fit the first cluster.
Result<std::vector<uint8_t>> serialize_header(const Header& header);

}  // namespace rhea::block::qcow2
