// What lies on the disk in a VHDX image ([MS-VHDX] 2.2 to 2.6). All numbers are little-endian.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/endian.h"
#include "block/formats/uuid.h"

namespace rhea::block::vhdx {

inline constexpr uint64_t kMiB = 1 << 20;
inline constexpr std::array<uint64_t, 2> kHeaderOffsets = {0x10000, 0x20000};
inline constexpr std::array<uint64_t, 2> kRegionOffsets = {0x30000, 0x40000};
inline constexpr size_t kRegionTableSize = 0x10000;
inline constexpr uint32_t kHeaderMagic = 0x64616568;            // "head"
inline constexpr uint32_t kRegionMagic = 0x69676572;            // "regi"
inline constexpr uint64_t kFileMagic = 0x656c696678646876;      // "vhdxfile"
inline constexpr uint64_t kMetadataMagic = 0x617461646174656d;  // "metadata"

inline constexpr Uuid kTableRegion = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                      0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
inline constexpr Uuid kMetadataRegion = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                         0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
inline constexpr Uuid kFileParameters = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                         0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
inline constexpr Uuid kDiskSize = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                   0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
inline constexpr Uuid kDiskId = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
inline constexpr Uuid kLogicalSector = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                        0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
inline constexpr Uuid kPhysicalSector = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                         0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};

enum class BlockState : uint64_t {
  NotPresent = 0,
  Undefined = 1,
  Zero = 2,
  Unmapped = 3,
  Present = 6,
  Partial = 7
};
inline constexpr uint64_t kStateMask = 7;
inline constexpr uint64_t kOffsetMask = ~(kMiB - 1);

struct Header {
  le32 magic;
  le32 checksum;
  le64 sequence;
  Uuid file_write_id;
  Uuid data_write_id;
  Uuid log_id;  // zero: there is nothing to replay
  le16 log_version;
  le16 version;
  le32 log_length;
  le64 log_offset;
  std::array<uint8_t, 4016> unused;
};
static_assert(sizeof(Header) == 4096);

struct RegionTable {
  le32 magic;
  le32 checksum;
  le32 count;
  le32 unused;
};
struct RegionEntry {
  Uuid id;
  le64 offset;
  le32 length;
  le32 required;
};
static_assert(sizeof(RegionEntry) == 32);

struct MetadataTable {
  le64 magic;
  le16 unused;
  le16 count;
  std::array<uint8_t, 20> unused2;
};
struct MetadataEntry {
  Uuid id;
  le32 offset;
  le32 length;
  le32 flags;
  le32 unused;
};
static_assert(sizeof(MetadataTable) == 32 && sizeof(MetadataEntry) == 32);
inline constexpr uint32_t kMetadataIsDisk = 2;
inline constexpr uint32_t kMetadataRequired = 4;
inline constexpr uint32_t kLeaveAllocated = 1;
inline constexpr uint32_t kHasParent = 2;

// CRC-32C of the bytes; those of the four at `checksum_at` count as zeros.
uint32_t checksum_of(std::span<const uint8_t> bytes, size_t checksum_at);

}  // namespace rhea::block::vhdx
