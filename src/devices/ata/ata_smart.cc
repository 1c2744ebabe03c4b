// SMART of a disk that is well: attributes, thresholds, an empty error log, self-tests that pass at once.
// ATA8-ACS 7.52; the pages: ATA-3 annex and SFF-8035i revision 2.
#include <algorithm>
#include <numeric>

#include "devices/ata/ata_disk.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {
namespace {

constexpr uint8_t kReadData = 0xd0, kReadThresholds = 0xd1, kAutosave = 0xd2, kOffline = 0xd4,
                  kReadLog = 0xd5, kEnable = 0xd8, kDisable = 0xd9, kStatus = 0xda;
constexpr uint8_t kKeyMid = 0x4f, kKeyHigh = 0xc2;
constexpr uint8_t kSummaryLog = 0x01, kSelfTestLog = 0x06;

struct Attribute {
  uint8_t id;
  uint16_t flags;
  uint8_t value, worst;
  uint8_t raw;
  uint8_t threshold;
};
constexpr Attribute kAttributes[] = {
    {0x01, 0x0003, 100, 100, 0, 6},     // raw read error rate
    {0x03, 0x0003, 100, 100, 16, 0},    // spin-up time
    {0x04, 0x0002, 100, 100, 100, 20},  // start/stop count
    {0x05, 0x0003, 100, 100, 0, 36},    // reallocated sectors
    {0x09, 0x0003, 100, 100, 1, 0},     // power-on hours
    {0x0c, 0x0003, 100, 100, 0, 0},     // power cycles
    {0xbe, 0x0003, 69, 69, 31, 50},     // temperature, as 100 less degrees
};
constexpr size_t kEntry = 12;

using Page = std::array<uint8_t, 512>;

// All bytes of a page add up to zero.
void close_page(Page& page) {
  page[511] = 0;
  page[511] = static_cast<uint8_t>(0u - std::accumulate(page.begin(), page.end(), 0u));
}

}  // namespace

void AtaDisk::smart() {
  if (task_.now.lba_mid != kKeyMid || task_.now.lba_high != kKeyHigh) return abort();
  const uint8_t what = task_.now.feature;
  if (!health_.enabled && what != kEnable) return abort();
  switch (what) {
    case kReadData: smart_data(); break;
    case kReadThresholds: smart_thresholds(); break;
    case kReadLog: smart_log(); break;
    case kOffline: smart_self_test(); break;
    case kAutosave:
      if (task_.now.count != 0 && task_.now.count != 0xf1) return abort();
      health_.autosave = task_.now.count != 0;
      end();
      break;
    case kEnable:
    case kDisable:
      health_.enabled = what == kEnable;
      end();
      break;
    case kStatus: end(); break;  // the key stays: no threshold is exceeded
    default: abort(); break;
  }
}

void AtaDisk::smart_data() {
  Page page{};
  page[0] = 1;  // revision
  size_t at = 2;
  for (const Attribute& attribute : kAttributes) {
    page[at] = attribute.id;
    page[at + 1] = static_cast<uint8_t>(attribute.flags);
    page[at + 2] = static_cast<uint8_t>(attribute.flags >> 8);
    page[at + 3] = attribute.value;
    page[at + 4] = attribute.worst;
    page[at + 5] = attribute.raw;
    at += kEntry;
  }
  page[362] = static_cast<uint8_t>(0x02 | (health_.autosave ? 0x80 : 0));  // off-line collection completed
  page[364] = 0x20;                                                        // seconds that it takes
  page[367] = 0x01 | 0x04 | 0x08 | 0x10;                                   // what off-line can do
  page[368] = 3;                                                           // saves attributes, autosave
  page[370] = 1;                                                           // has an error log
  page[372] = 2;                                                           // minutes of a short self-test
  page[373] = 54;                                                          // and of a long one
  close_page(page);
  give_page(page);
}

void AtaDisk::smart_thresholds() {
  Page page{};
  page[0] = 1;
  size_t at = 2;
  for (const Attribute& attribute : kAttributes) {
    page[at] = attribute.id;
    page[at + 1] = attribute.threshold;
    at += kEntry;
  }
  close_page(page);
  give_page(page);
}

void AtaDisk::smart_log() {
  Page page{};
  switch (task_.now.lba_low) {
    case kSummaryLog: page[0] = 1; break;  // no errors
    case kSelfTestLog:
      page[0] = 1;
      // The newest of 21 places; each test was a short one and passed.
      for (unsigned i = 0; i < std::min<unsigned>(health_.selftest_count, 21); ++i) {
        page[2 + i * 24] = 1;
        page[2 + i * 24 + 2] = 0x34;  // power-on hours
      }
      page[508] = static_cast<uint8_t>(std::min<unsigned>(health_.selftest_count, 21));
      break;
    default: return abort();
  }
  close_page(page);
  give_page(page);
}

void AtaDisk::smart_self_test() {
  switch (task_.now.lba_low) {
    case 0:    // off-line collection
    case 1:    // short self-test
    case 2:    // extended
    case 127:  // abort what runs
      if (task_.now.lba_low == 1 || task_.now.lba_low == 2)
        health_.selftest_count = static_cast<uint8_t>(std::min(health_.selftest_count + 1, 21));
      end();
      break;
    default: abort(); break;
  }
}

}  // namespace rhea::devices
