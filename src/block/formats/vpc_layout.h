// What lies on the disk in a VHD image: Microsoft, Virtual Hard Disk Image Format Specification 1.0 (October
// 2006), "Hard Disk Footer Format", "Dynamic Disk Header Format" and "CHS Calculation".
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/endian.h"
#include "block/formats/uuid.h"

namespace rhea::block::vpc {

inline constexpr uint64_t kSector = 512;
inline constexpr uint32_t kNoBlock = 0xffffffff;
inline constexpr uint64_t kNoOffset = ~uint64_t{0};
inline constexpr std::string_view kFooterCookie = "conectix";
inline constexpr std::string_view kHeaderCookie = "cxsparse";

enum class DiskType : uint32_t { Fixed = 2, Dynamic = 3, Differencing = 4 };

struct Geometry {
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  uint64_t total() const { return uint64_t{cylinders} * heads * sectors; }
};
inline constexpr Geometry kLargestGeometry{65535, 16, 255};

struct Footer {
  std::array<char, 8> cookie;
  be32 features;
  be32 version;
  be64 header_offset;  // of the dynamic header; kNoOffset in fixed images
  be32 timestamp;      // seconds since 2000-01-01
  std::array<char, 4> creator;
  be32 creator_version;
  std::array<char, 4> creator_host;
  be64 original_size;
  be64 current_size;
  be16 cylinders;
  uint8_t heads;
  uint8_t sectors;
  be32 type;
  be32 checksum;
  Uuid id;
  uint8_t saved_state;
  std::array<uint8_t, 427> unused;
};
static_assert(sizeof(Footer) == 512);

struct ParentLocator {
  be32 platform;
  be32 space;
  be32 length;
  be32 unused;
  be64 offset;
};

struct DynamicHeader {
  std::array<char, 8> cookie;
  be64 unused_offset;
  be64 table_offset;
  be32 version;
  be32 table_entries;
  be32 block_size;
  be32 checksum;
  Uuid parent_id;
  be32 parent_timestamp;
  be32 unused;
  std::array<uint8_t, 512> parent_name;  // UTF-16, big endian
  std::array<ParentLocator, 8> locators;
  std::array<uint8_t, 256> unused2;
};
static_assert(sizeof(DynamicHeader) == 1024);

// The ones' complement of the sum of all bytes but those of `checksum`, which is a member of `header`.
template <class T>
uint32_t checksum_of(T header) {
  header.checksum = 0;
  std::array<uint8_t, sizeof(T)> bytes = std::bit_cast<std::array<uint8_t, sizeof(T)>>(header);
  uint32_t sum = 0;
  for (const uint8_t byte : bytes) sum += byte;
  return ~sum;
}

// The specification's appendix: the largest geometry of at most this many sectors (but at least 4 heads of
// 17).
Geometry geometry_of(uint64_t sectors);
// The smallest geometry that the algorithm gives for this many sectors or more; the largest there is if none
// has as many.
Geometry geometry_for_at_least(uint64_t sectors);

}  // namespace rhea::block::vpc
