// qcow2's constants and on-disk structures (QEMU documentation, docs/interop/qcow2.txt). All integers are
// big-endian.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/endian.h"

namespace rhea::block::qcow2 {

inline constexpr uint32_t kMagic = 0x514649fb;  // "QFI\xfb"

inline constexpr unsigned kMinClusterBits = 9;
inline constexpr unsigned kMaxClusterBits = 21;
inline constexpr uint64_t kMaxL1Bytes = uint64_t{32} << 20;
inline constexpr uint64_t kMaxRefcountTableBytes = uint64_t{8} << 20;
inline constexpr uint32_t kMaxSnapshots = 65536;
inline constexpr uint64_t kMaxSnapshotTableBytes = uint64_t{1024} * kMaxSnapshots;
inline constexpr uint32_t kMaxBackingName = 1023;
inline constexpr uint32_t kMaxBitmaps = 65535;

// Header, incompatible features.
inline constexpr uint64_t kDirty = 1u << 0;
inline constexpr uint64_t kCorrupt = 1u << 1;
inline constexpr uint64_t kExternalData = 1u << 2;
inline constexpr uint64_t kCompressionType = 1u << 3;
inline constexpr uint64_t kExtendedL2 = 1u << 4;
inline constexpr uint64_t kKnownIncompatible =
    kDirty | kCorrupt | kExternalData | kCompressionType | kExtendedL2;
// Compatible features.
inline constexpr uint64_t kLazyRefcounts = 1u << 0;
// Features that a writer who does not know them clears.
inline constexpr uint64_t kBitmapsValid = 1u << 0;
inline constexpr uint64_t kRawExternalData = 1u << 1;
inline constexpr uint64_t kKnownAutoclear = kBitmapsValid | kRawExternalData;

struct RawHeader {
  be32 magic;
  be32 version;
  be64 backing_file_offset;
  be32 backing_file_size;
  be32 cluster_bits;
  be64 size;
  be32 crypt_method;
  be32 l1_size;
  be64 l1_table_offset;
  be64 refcount_table_offset;
  be32 refcount_table_clusters;
  be32 nb_snapshots;
  be64 snapshots_offset;
  // Version 3.
  be64 incompatible_features;
  be64 compatible_features;
  be64 autoclear_features;
  be32 refcount_order;
  be32 header_length;
  uint8_t compression_type = 0;
  uint8_t padding[7] = {};
};
static_assert(sizeof(RawHeader) == 112);
inline constexpr uint32_t kHeaderV2Length = 72;
inline constexpr uint32_t kHeaderV3Length = 104;  // without the compression type

// Header extensions.
inline constexpr uint32_t kExtensionEnd = 0;
inline constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
inline constexpr uint32_t kExtensionFeatureNames = 0x6803f857;
inline constexpr uint32_t kExtensionBitmaps = 0x23852875;
inline constexpr uint32_t kExtensionCrypto = 0x0537be77;
inline constexpr uint32_t kExtensionDataFile = 0x44415441;

struct RawFeatureName {
  uint8_t kind = 0;  // 0 incompatible, 1 compatible, 2 autoclear
  uint8_t bit = 0;
  char name[46] = {};
};
static_assert(sizeof(RawFeatureName) == 48);

struct RawBitmapsExtension {
  be32 count;
  be32 reserved;
  be64 directory_size;
  be64 directory_offset;
};
static_assert(sizeof(RawBitmapsExtension) == 24);

// An entry of the bitmap directory; extra data and the name follow, padded to 8 bytes.
struct RawBitmap {
  be64 table_offset;
  be32 table_size;  // in entries
  be32 flags;
  uint8_t type = 0;
  uint8_t granularity_bits = 0;
  be16 name_size;
  be32 extra_data_size;
};
static_assert(sizeof(RawBitmap) == 24);
inline constexpr uint32_t kBitmapInUse = 1u << 0;
inline constexpr uint32_t kBitmapAuto = 1u << 1;
inline constexpr uint32_t kBitmapExtraCompatible = 1u << 2;
inline constexpr uint8_t kBitmapTypeDirty = 1;
inline constexpr uint64_t kBitmapAllOnes = 1;  // table entry without an offset
inline constexpr unsigned kMinGranularityBits = 9;
inline constexpr unsigned kMaxGranularityBits = 31;
inline constexpr uint32_t kMaxBitmapName = 1023;
inline constexpr uint64_t kMaxBitmapBytes = uint64_t{512} << 20;  // of the bits of one bitmap

struct RawSnapshot {
  be64 l1_table_offset;
  be32 l1_size;
  be16 id_size;
  be16 name_size;
  be32 date_sec;
  be32 date_nsec;
  be64 vm_clock_nsec;
  be32 vm_state_size;
  be32 extra_data_size;
};
static_assert(sizeof(RawSnapshot) == 40);

struct RawSnapshotExtra {
  be64 vm_state_size;
  be64 disk_size;
  be64 icount;
};
static_assert(sizeof(RawSnapshotExtra) == 24);

// L1 and L2 entries.
inline constexpr uint64_t kOffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kCopied = uint64_t{1} << 63;  // the refcount is exactly 1
inline constexpr uint64_t kCompressed = uint64_t{1} << 62;
inline constexpr uint64_t kZero = 1;  // version 3, not with extended L2 entries
inline constexpr uint64_t kL1Reserved = 0x7f000000000001ff;
inline constexpr uint64_t kL2Reserved = 0x3f000000000001fe;
inline constexpr uint64_t kRefcountBlockMask = 0xfffffffffffffe00;
inline constexpr unsigned kSubclusters = 32;  // with extended L2 entries
inline constexpr unsigned kMinExtendedClusterBits = 14;

inline constexpr unsigned kCompressionZlib = 0;
inline constexpr unsigned kCompressionZstd = 1;

}  // namespace rhea::block::qcow2
