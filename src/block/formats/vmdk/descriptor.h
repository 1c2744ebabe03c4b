// The text that describes a VMDK image: a file of its own, or a part of its only extent (VMware, Virtual Disk
// Format 5.0, "The Descriptor File").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::block::vmdk {

inline constexpr uint32_t kNoParent = 0xffffffff;
inline constexpr uint64_t kLargestDescriptor = 1 << 20;

struct ExtentLine {
  std::string access;  // RW, RDONLY, NOACCESS
  uint64_t sectors = 0;
  std::string type;  // SPARSE, FLAT, ZERO, VMFS, …
  std::string file;
  uint64_t offset = 0;  // in sectors, of FLAT ones
};

struct Descriptor {
  uint32_t content_id = 0;
  uint32_t parent_content_id = kNoParent;
  std::string create_type;
  std::string parent_file;
  std::vector<ExtentLine> extents;
};

bool is_descriptor(std::string_view text);
Result<Descriptor> parse_descriptor(std::string_view text);
// The same text with another content identifier, which changes whenever the content does. Nothing if the text
// has none.
std::string with_content_id(std::string_view text, uint32_t id);

struct DiskData {
  std::string adapter_type;
  std::string hardware_version;
  std::string tools_version;
  uint64_t sectors = 0;
};
std::string descriptor_text(const Descriptor& descriptor, const DiskData& disk);

}  // namespace rhea::block::vmdk
