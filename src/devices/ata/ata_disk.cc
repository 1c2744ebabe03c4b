// The commands of a disk; its data transfers stand in ata_transfer.cc, SMART in ata_smart.cc, IDENTIFY in
// ata_identify.cc. See ata_disk.h.
#include "devices/ata/ata_disk.h"

#include <algorithm>

#include "base/failf.h"
#include "base/log.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {
namespace {

constexpr uint8_t kMostMultiple = 16;
constexpr uint32_t kMostCylinders = 16383;

// SET FEATURES, 7.46.
constexpr uint8_t kEnableCache = 0x02, kTransferMode = 0x03, kDisableLookAhead = 0x55, kKeepSettings = 0x66,
                  kDisableCache = 0x82, kEnableLookAhead = 0xaa, kRevertSettings = 0xcc;

block::Geometry geometry_of_size(uint64_t sectors) {
  const uint64_t cylinders = sectors / (16 * 63);
  return {.cylinders = static_cast<uint32_t>(std::clamp<uint64_t>(cylinders, 2, kMostCylinders)),
          .heads = 16,
          .sectors = 63};
}

}  // namespace

AtaDisk::AtaDisk(block::Drive& drive, Options options) : AtaUnit(&drive), options_(std::move(options)) {
  sectors_ = drive.size() / ata::kSector;
  default_ = options_.geometry.cylinders != 0 ? options_.geometry : geometry_of_size(sectors_);
  current_ = default_;
  configured_cache_ = drive.write_cache();
}

uint8_t AtaDisk::bios_translation() const {
  constexpr uint32_t kBiosCylinders = 1024, kBiosHeads = 16, kBiosSectors = 63;
  const bool fits = default_.cylinders <= kBiosCylinders && default_.heads <= kBiosHeads &&
                    default_.sectors <= kBiosSectors;
  return options_.bios_translation.value_or(fits ? 0 : 1);
}

Result<std::unique_ptr<AtaDisk>> AtaDisk::create(block::Drive& drive, Options options) {
  if (!drive.inserted()) return fail(ErrorKind::Invalid, "Device needs media, but drive is empty");
  if (drive.read_only()) return fail(ErrorKind::Invalid, "Block node is read-only");
  std::unique_ptr<AtaDisk> disk(new AtaDisk(drive, std::move(options)));
  auto attached = drive.attach(*disk, {.removable = false, .has_tray = false, .device_id = {}});
  if (!attached) {
    disk->forget_drive();
    return std::unexpected(std::move(attached).error());
  }
  return disk;
}

void AtaDisk::resized() {
  sectors_ = drive()->size() / ata::kSector;
}

void AtaDisk::power_on() {
  current_ = default_;
  multiple_ = kMostMultiple;
  multiword_mode_ = 0x07;
  ultra_mode_ = 0x20;
  look_ahead_ = true;
  health_ = {};
  drive()->set_write_cache(configured_cache_);
}

void AtaDisk::set_signature() {
  task_.now.count = 1;
  task_.now.lba_low = 1;
  task_.now.lba_mid = 0;
  task_.now.lba_high = 0;
  task_.status = ata::kStatusReady | ata::kStatusSeek;
}

void AtaDisk::state(bus::StateVisitor& v) {
  AtaUnit::state(v);
  v.field("cylinders", current_.cylinders);
  v.field("heads", current_.heads);
  v.field("sectors", current_.sectors);
  v.field("multiple", multiple_);
  v.field("multiword_mode", multiword_mode_);
  v.field("ultra_mode", ultra_mode_);
  v.field("look_ahead", look_ahead_);
  v.field("work", transfer_.work);
  v.field("fua", transfer_.fua);
  v.field("lba", transfer_.lba);
  v.field("left", transfer_.left);
  v.field("block", transfer_.block);
  v.field("ready", transfer_.ready);
  v.field("pio_at", transfer_.pio_at);
  v.field("moving", transfer_.moving);
  v.field("long_address", transfer_.long_address);
  bool cache = drive()->write_cache();
  v.field("write_cache", cache);
  v.field("smart_enabled", health_.enabled);
  v.field("smart_autosave", health_.autosave);
  v.field("smart_selftests", health_.selftest_count);
  if (!v.loading()) return;
  drive()->set_write_cache(cache);
  // What a transfer goes on with must fit its buffer.
  constexpr uint32_t kMost = kPioBytes / ata::kSector;
  transfer_.block = std::clamp<uint32_t>(transfer_.block, 1, kMostMultiple);
  transfer_.pio_at = std::min<uint32_t>(transfer_.pio_at, kPioBytes) & ~(ata::kSector - 1);
  transfer_.ready = std::min({transfer_.ready, kMost - transfer_.pio_at / ata::kSector, transfer_.left});
  if (transfer_.work > Work::Trim) transfer_.work = Work::None;
  const uint32_t in_buffer = transfer_.work == Work::Read ? transfer_.ready : transfer_.block;
  transfer_.moving = std::min({transfer_.moving, transfer_.left, in_buffer});
  current_.heads = std::clamp<uint32_t>(current_.heads, 1, 16);
  current_.sectors = std::clamp<uint32_t>(current_.sectors, 1, 255);
}

void AtaDisk::execute(uint8_t code) {
  if (execute_transfer(code)) return;
  if ((code & 0xf0) == ata::kRecalibrate) code = ata::kRecalibrate;
  if ((code & 0xf0) == ata::kSeek) code = ata::kSeek;
  switch (code) {
    case ata::kIdentify: identify(); break;
    case ata::kFlush:
    case ata::kFlushExt: flush(); break;
    case ata::kSetFeatures: set_features(); break;
    case ata::kSetMultiple: set_multiple(); break;
    case ata::kSmart: smart(); break;
    case ata::kReadNativeMax: native_max(false); break;
    case ata::kReadNativeMaxExt: native_max(true); break;
    case ata::kInitializeParameters: set_parameters(); break;
    case ata::kDiagnostic:
      set_signature();
      task_.device = 0;
      task_.error = 1;
      end();
      task_.error = 1;
      break;
    case ata::kCheckPower:
    case ata::kCheckPower98:
      task_.now.count = 0xff;  // active or idle
      end();
      break;
    case ata::kRecalibrate:
    case ata::kSeek:
    case ata::kStandbyNow:
    case ata::kIdleNow:
    case ata::kStandby:
    case ata::kIdle:
    case ata::kSleep:
    case ata::kStandbyNow94:
    case ata::kIdleNow95:
    case ata::kStandby96:
    case ata::kIdle97:
    case ata::kSleep99: end(); break;
    case ata::kIdentifyPacket:
      set_signature();
      abort();
      break;
    default: abort(); break;
  }
}

void AtaDisk::flush() {
  drive()->flush([this](Result<> done) {
    if (done)
      end();
    else
      abort();
  });
}

void AtaDisk::native_max(bool long_address) {
  if (sectors_ == 0) return abort();
  uint64_t last = sectors_ - 1;
  if (!long_address) last = std::min<uint64_t>(last, 0x0fffffff);
  show_address(last, long_address);
  end();
}

void AtaDisk::set_multiple() {
  const uint8_t wanted = task_.now.count;
  if (wanted > kMostMultiple || (wanted & (wanted - 1)) != 0) return abort();
  multiple_ = wanted;
  end();
}

// ATA-4 8.16: what CHS addresses mean from now on.
void AtaDisk::set_parameters() {
  const uint32_t heads = (task_.device & 0x0fu) + 1;
  const uint32_t per_track = task_.now.count;
  if (per_track == 0) return abort();
  current_.heads = heads;
  current_.sectors = per_track;
  current_.cylinders =
      static_cast<uint32_t>(std::min<uint64_t>(sectors_ / (uint64_t{heads} * per_track), 65535));
  end();
}

void AtaDisk::set_features() {
  switch (task_.now.feature) {
    case kEnableCache:
      drive()->set_write_cache(true);
      end();
      break;
    case kDisableCache:
      drive()->set_write_cache(false);
      flush();
      break;
    case kTransferMode:
      if (set_transfer_mode(task_.now.count))
        end();
      else
        abort();
      break;
    case kEnableLookAhead:
    case kDisableLookAhead:
      look_ahead_ = task_.now.feature == kEnableLookAhead;
      end();
      break;
    case kKeepSettings:
    case kRevertSettings: end(); break;
    default: abort(); break;
  }
}

// Table 49: the kind of mode in the upper five bits, its number in the lower three.
bool AtaDisk::set_transfer_mode(uint8_t mode) {
  const uint8_t number = mode & 7;
  switch (mode >> 3) {
    case 0: return true;         // PIO, default
    case 1: return number <= 4;  // PIO with flow control
    case 4:                      // multiword DMA
      if (number > 2) return false;
      multiword_mode_ = static_cast<uint8_t>(1u << number);
      ultra_mode_ = 0;
      return true;
    case 8:  // Ultra DMA
      if (number > 5) return false;
      ultra_mode_ = static_cast<uint8_t>(1u << number);
      multiword_mode_ = 0;
      return true;
    default: return false;
  }
}

void AtaDisk::give_page(const std::array<uint8_t, 512>& page) {
  std::ranges::copy(page, pio_data().begin());
  transfer_ = {};
  give_block(0, page.size());
}

}  // namespace rhea::devices
