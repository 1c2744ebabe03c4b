// IDENTIFY DEVICE of a disk, ATA8-ACS 7.16.
#include <algorithm>

#include "devices/ata/ata_disk.h"
#include "devices/ata/ata_regs.h"
#include "devices/ata/identify_data.h"

namespace rhea::devices {
namespace {

constexpr unsigned kMostMultiple = 16;
// Words 82 and 85: SMART, write cache, look-ahead, NOP.
constexpr uint32_t kSmartSet = 1 << 0, kCacheSet = 1 << 5, kLookAheadSet = 1 << 6, kNopSet = 1 << 14;
// Words 83 and 86: 48-bit addresses, FLUSH CACHE and its EXT.
constexpr uint32_t kAddress48 = 1 << 10, kFlushSet = 1 << 12, kFlushExtSet = 1 << 13, kValid = 1 << 14;
// Words 84 and 87: World Wide Name; SMART self-test and error log; WRITE DMA FUA EXT.
constexpr uint32_t kErrorLog = 1 << 0, kSelfTest = 1 << 1, kFuaSet = 1 << 6, kWwnSet = 1 << 8;

}  // namespace

void AtaDisk::identify() {
  ata::IdentifyData data;
  data.word(0, 0x0040);  // a fixed disk
  data.word(1, default_.cylinders);
  data.word(3, default_.heads);
  data.word(4, ata::kSector * default_.sectors);
  data.word(5, ata::kSector);
  data.word(6, default_.sectors);
  data.text(10, 20, options_.serial);
  data.word(20, 3);  // buffer type and size, vendor bytes: obsolete, as old drivers expect them
  data.word(21, 512);
  data.word(22, 4);
  data.text(23, 8, options_.firmware);
  data.text(27, 40, options_.model);
  data.word(47, 0x8000 | kMostMultiple);
  data.word(48, 1);       // 32-bit PIO
  data.word(49, 0x0f00);  // standby timer as in the standard, IORDY, LBA, DMA
  data.word(50, 0x4000);
  data.word(51, 0x0200);
  data.word(52, 0x0200);
  data.word(53, 7);  // words 54 to 58, 64 to 70 and 88 mean something
  data.word(54, current_.cylinders);
  data.word(55, current_.heads);
  data.word(56, current_.sectors);
  data.words32(57, current_.cylinders * current_.heads * current_.sectors);
  if (multiple_ != 0) data.word(59, 0x0100u | multiple_);
  data.words32(60, static_cast<uint32_t>(std::min<uint64_t>(sectors_, 0x0fffffff)));
  data.word(63, 0x0007u | uint32_t{multiword_mode_ & 7u} << 8);
  data.word(64, 3);                                                   // PIO 3 and 4
  for (unsigned word = 65; word <= 68; ++word) data.word(word, 120);  // cycle times in ns
  if (host() != nullptr && host()->is_serial()) {
    data.word(75, 31);          // queue depth less one
    data.word(76, 0x0100 | 6);  // NCQ, generations 1 and 2
  }
  data.word(80, 0x00f0);  // ATA/ATAPI-4 to 7
  data.word(81, 0x0016);
  const uint32_t wwn = options_.wwn != 0 ? kWwnSet : 0;
  data.word(82, kNopSet | kCacheSet | kLookAheadSet | kSmartSet);
  data.word(83, kValid | kFlushExtSet | kFlushSet | kAddress48);
  data.word(84, kValid | kErrorLog | kSelfTest | kFuaSet | wwn);
  data.word(85, kNopSet | (drive()->write_cache() ? kCacheSet : 0) | (look_ahead_ ? kLookAheadSet : 0) |
                    (health_.enabled ? kSmartSet : 0));
  data.word(86, kFlushExtSet | kFlushSet | kAddress48);
  data.word(87, kValid | kErrorLog | kSelfTest | kFuaSet | wwn);
  data.word(88, 0x003fu | uint32_t{ultra_mode_} << 8);
  data.word(93, 0x6001);  // hardware reset result: an 80-wire cable
  data.words32(100, static_cast<uint32_t>(sectors_));
  data.words32(102, static_cast<uint32_t>(sectors_ >> 32));
  if (options_.physical_exponent != 0) data.word(106, 0x6000u | options_.physical_exponent);
  if (options_.wwn != 0) {
    for (unsigned i = 0; i < 4; ++i)
      data.word(108 + i, static_cast<uint32_t>(options_.wwn >> (48 - 16 * i)) & 0xffff);
  }
  data.word(169, 1);  // TRIM
  data.word(217, options_.rotation_rate);
  if (host() != nullptr && host()->is_serial()) data.word(93, 0);
  give_page(data.bytes());
}

}  // namespace rhea::devices
