// One check of an image: counts how often each cluster is referred to and compares with the refcounts. Large
// images are counted in windows, each with a walk of its own over all tables, so that memory stays bounded.
#pragma once

#include <unordered_map>
#include <vector>

#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {

class CheckRun {
 public:
  CheckRun(Qcow2Image& image, Repair repair) : image_(image), repair_(repair) {}
  // Image's lock held.
  Result<CheckReport> run();

 private:
  // The walk.
  Result<> walk();
  Result<> walk_l1(const std::vector<uint64_t>& l1, uint64_t l1_offset, bool active);
  Result<> walk_l2(uint64_t table_offset, bool active, std::vector<uint8_t>& buffer);
  bool count_plain(uint64_t word);
  Result<> check_copied(const L2Entry& entry);
  Result<> walk_entry(const L2Entry& entry, bool active, uint64_t index, std::vector<uint8_t>& table,
                      bool& table_changed);
  Result<> walk_refcount_table();
  Result<> walk_bitmaps();
  void refer(uint64_t offset, uint64_t bytes);
  uint64_t references(uint64_t cluster) const;

  // The comparison.
  Result<> compare_window();
  Result<> compare_cluster(uint64_t cluster, uint64_t count);
  Result<> fix_copied();
  Result<> rebuild();
  void corruption(std::string text);
  bool repairs_errors() const { return repair_ == Repair::All; }

  Qcow2Image& image_;
  Repair repair_;
  CheckReport report_;
  uint64_t file_size_ = 0;
  uint64_t file_clusters_ = 0;
  uint64_t window_begin_ = 0;
  std::vector<uint16_t> counts_;
  std::unordered_map<uint64_t, uint64_t> large_;  // what does not fit counts_
  std::vector<std::string> copied_messages_;
  uint64_t copied_errors_ = 0;
  bool first_walk_ = true;
  bool rebuild_ = false;
  uint64_t highest_ = 0;
  uint64_t next_data_ = 0;  // where data would go on without fragmentation
};

}  // namespace rhea::block::qcow2
