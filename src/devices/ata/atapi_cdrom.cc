// See atapi_cdrom.h.
#include "devices/ata/atapi_cdrom.h"

#include <algorithm>
#include <cstring>

#include "devices/ata/ata_regs.h"
#include "devices/ata/identify_data.h"

namespace rhea::devices {
namespace {

constexpr size_t kPacketBytes = 12;
constexpr uint8_t kFeatureDma = 0x01;
constexpr uint8_t kSetTransferMode = 0x03;
constexpr uint32_t kLargestBlock = 0xfffe;

}  // namespace

AtapiCdrom::AtapiCdrom(block::Drive& drive, Options options)
    : AtaUnit(&drive),
      options_(std::move(options)),
      commands_(&drive, {.product = options_.model, .revision = options_.firmware}) {}

Result<std::unique_ptr<AtapiCdrom>> AtapiCdrom::create(block::Drive& drive, Options options) {
  std::unique_ptr<AtapiCdrom> cdrom(new AtapiCdrom(drive, std::move(options)));
  auto attached = drive.attach(*cdrom, {.removable = true, .has_tray = true, .device_id = {}});
  if (!attached) {
    cdrom->forget_drive();
    return std::unexpected(std::move(attached).error());
  }
  return cdrom;
}

void AtapiCdrom::set_signature() {
  task_.now.count = 1;
  task_.now.lba_low = 1;
  task_.now.lba_mid = 0x14;
  task_.now.lba_high = 0xeb;
  task_.status = 0;  // packet devices are not ready before their first command
}

void AtapiCdrom::power_on() {
  commands_.reset();
  drive()->set_locked(false);
  multiword_mode_ = 0x07;
  ultra_mode_ = 0x20;
  dma_ = raw_ = false;
  limit_ = kLargestBlock;
  lba_ = ready_at_ = 0;
}

void AtapiCdrom::cancel_command() {
  step_ = Step::None;
  left_ = ready_ = 0;
  reply_.clear();
}

void AtapiCdrom::state(bus::StateVisitor& v) {
  AtaUnit::state(v);
  commands_.state(v);
  bool locked = drive()->locked(), open = drive()->tray_open();
  v.field("locked", locked);
  v.field("tray_open", open);
  v.field("step", step_);
  v.field("dma", dma_);
  v.field("raw", raw_);
  v.field("limit", limit_);
  v.field("lba", lba_);
  v.field("left", left_);
  v.field("ready_at", ready_at_);
  v.field("ready", ready_);
  v.field("multiword_mode", multiword_mode_);
  v.field("ultra_mode", ultra_mode_);
  if (!v.loading()) return;
  drive()->set_locked(locked);
  drive()->set_tray_open(open);
  reply_.clear();
  ready_at_ = std::min<uint32_t>(ready_at_, kPioBytes);
  ready_ = std::min<uint32_t>(ready_, kPioBytes - ready_at_);
  limit_ = std::clamp<uint32_t>(limit_, 2, kLargestBlock) & ~1u;
}

void AtapiCdrom::execute(uint8_t code) {
  switch (code) {
    case ata::kPacket:
      dma_ = (task_.now.feature & kFeatureDma) != 0;
      limit_ = uint32_t{task_.now.lba_high} << 8 | task_.now.lba_mid;
      if (limit_ == 0 || limit_ > kLargestBlock) limit_ = kLargestBlock;
      if (limit_ > 2) limit_ &= ~1u;
      limit_ = std::max<uint32_t>(limit_, 2);
      step_ = Step::Packet;
      task_.now.count = ata::kReasonCommand;
      take_block(kPacketBytes, false);
      break;
    case ata::kIdentifyPacket: identify(); break;
    case ata::kDeviceReset: soft_reset(); break;
    case ata::kDiagnostic:
      set_signature();
      task_.device = 0;
      end();
      task_.status = 0;
      task_.error = 1;
      break;
    case ata::kIdentify:
    case ata::kReadSectors:
      set_signature();
      abort();
      break;
    case ata::kSetFeatures: set_features(); break;
    case ata::kCheckPower:
      task_.now.count = 0xff;
      end();
      break;
    case ata::kStandbyNow:
    case ata::kIdleNow:
    case ata::kStandby:
    case ata::kIdle:
    case ata::kSleep: end(); break;
    default: abort(); break;
  }
}

void AtapiCdrom::set_features() {
  const uint8_t mode = task_.now.count;
  const uint8_t number = mode & 7;
  if (task_.now.feature != kSetTransferMode) return abort();
  switch (mode >> 3) {
    case 0:
    case 1: break;
    case 4:
      if (number > 2) return abort();
      multiword_mode_ = static_cast<uint8_t>(1u << number);
      ultra_mode_ = 0;
      break;
    case 8:
      if (number > 5) return abort();
      ultra_mode_ = static_cast<uint8_t>(1u << number);
      multiword_mode_ = 0;
      break;
    default: return abort();
  }
  end();
}

void AtapiCdrom::pio_done() {
  switch (step_) {
    case Step::Packet: return packet_arrived();
    case Step::Page: step_ = Step::None; return end_silently();
    case Step::Data:
    case Step::Sectors: return next_pio_block();
    case Step::None: return end_silently();
  }
}

void AtapiCdrom::packet_arrived() {
  std::array<uint8_t, kPacketBytes> cdb{};
  std::copy_n(pio_data().begin(), kPacketBytes, cdb.begin());
  answer(commands_.execute(cdb));
}

void AtapiCdrom::answer(scsi::CdReply reply) {
  left_ = ready_ = 0;
  reply_.clear();
  switch (reply.kind) {
    case scsi::CdReply::Kind::Failed: return packet_failed();
    case scsi::CdReply::Kind::Good: return packet_ended();
    case scsi::CdReply::Kind::Data:
      step_ = Step::Data;
      if (dma_) {
        reply_ = std::move(reply.data);
        return begin_dma(true);
      }
      ready_at_ = 0;
      ready_ = static_cast<uint32_t>(std::min(reply.data.size(), kPioBytes));
      std::copy_n(reply.data.begin(), ready_, pio_data().begin());
      return next_pio_block();
    case scsi::CdReply::Kind::Sectors:
      step_ = Step::Sectors;
      lba_ = reply.lba;
      left_ = reply.sectors;
      raw_ = reply.raw;
      if (dma_) return begin_dma(true);
      return fill_pio();
  }
}

void AtapiCdrom::packet_failed() {
  cancel_command();
  task_.now.count = ata::kReasonCommand | ata::kReasonToHost;
  end_with_error(static_cast<uint8_t>(commands_.sense().key << 4 | ata::kErrorAbort));
}

void AtapiCdrom::packet_ended() {
  cancel_command();
  task_.now.count = ata::kReasonCommand | ata::kReasonToHost;
  end();
}

void AtapiCdrom::fetch(size_t most, std::function<void(std::span<uint8_t>)> then) {
  const auto count = static_cast<uint32_t>(std::min<size_t>(left_, most / sector_bytes()));
  const size_t bytes = size_t{count} * scsi::CdromCommands::kSector;
  // Raw sectors are made behind the plain ones.
  const size_t raw_bytes = raw_ ? size_t{count} * scsi::CdromCommands::kRawSector : 0;
  const Buffer buffer = bounce(bytes + raw_bytes);
  const auto plain = std::span(*buffer).first(bytes);
  drive()->read(
      uint64_t{lba_} * scsi::CdromCommands::kSector, plain,
      [this, buffer, plain, raw_bytes, count, then = std::move(then)](Result<> done) {
        if (!done) {
          if (dma_ && host() != nullptr) host()->dma_ended(*this);
          commands_.read_failed();
          return packet_failed();
        }
        const auto raw = std::span(*buffer).subspan(plain.size(), raw_bytes);
        for (uint32_t i = 0; raw_bytes != 0 && i < count; ++i) {
          scsi::CdromCommands::make_raw(
              lba_ + i, plain.subspan(size_t{i} * scsi::CdromCommands::kSector, scsi::CdromCommands::kSector),
              raw.subspan(size_t{i} * scsi::CdromCommands::kRawSector, scsi::CdromCommands::kRawSector));
        }
        lba_ += count;
        left_ -= count;
        then(raw_bytes != 0 ? raw : plain);
      });
}

void AtapiCdrom::fill_pio() {
  fetch(kPioBytes, [this](std::span<uint8_t> bytes) {
    std::ranges::copy(bytes, pio_data().begin());
    ready_at_ = 0;
    ready_ = static_cast<uint32_t>(bytes.size());
    next_pio_block();
  });
}

// The guest is told how many bytes come, at most as many as it allows at a time.
void AtapiCdrom::next_pio_block() {
  if (ready_ == 0) return left_ != 0 ? fill_pio() : packet_ended();
  const uint32_t bytes = std::min(ready_, limit_);
  const uint32_t at = ready_at_;
  ready_at_ += bytes;
  ready_ -= bytes;
  task_.now.lba_mid = static_cast<uint8_t>(bytes);
  task_.now.lba_high = static_cast<uint8_t>(bytes >> 8);
  task_.now.count = ata::kReasonToHost;
  give_block(at, bytes);
}

void AtapiCdrom::dma_step() {
  busy();
  if (step_ == Step::Sectors) return dma_sectors();
  if (host() != nullptr) {
    static_cast<void>(host()->dma_move(*this, true, reply_));
    host()->dma_ended(*this);
  }
  packet_ended();
}

void AtapiCdrom::dma_sectors() {
  if (left_ == 0) {
    if (host() != nullptr) host()->dma_ended(*this);
    return packet_ended();
  }
  fetch(kDmaBytes, [this](std::span<uint8_t> bytes) {
    if (host() == nullptr || host()->dma_move(*this, true, bytes) != bytes.size()) {
      if (host() != nullptr) host()->dma_ended(*this);
      commands_.read_failed();
      return packet_failed();
    }
    dma_sectors();
  });
}

// ATA/ATAPI-7 volume 1, 6.18.
void AtapiCdrom::identify() {
  ata::IdentifyData data;
  data.word(0, 0x85c0);  // a removable CD drive with 12-byte packets, DRQ within 50 us
  data.text(10, 20, options_.serial);
  data.word(20, 3);
  data.word(21, 512);
  data.word(22, 4);
  data.text(23, 8, options_.firmware);
  data.text(27, 40, options_.model);
  data.word(48, 1);
  data.word(49, 0x0b00);  // IORDY, LBA, DMA
  data.word(53, 7);
  data.word(62, 7);
  data.word(63, 0x0007u | uint32_t{multiword_mode_ & 7u} << 8);
  data.word(64, 3);
  data.word(65, 180);
  data.word(66, 180);
  data.word(67, 300);
  data.word(68, 180);
  data.word(71, 30);
  data.word(72, 30);
  const bool serial = host() != nullptr && host()->is_serial();
  if (serial) {
    data.word(75, 31);
    data.word(76, 0x0006);
  }
  data.word(80, 0x001e);
  if (options_.wwn != 0) {
    data.word(84, 0x4100);
    data.word(87, 0x4100);
    for (unsigned i = 0; i < 4; ++i)
      data.word(108 + i, static_cast<uint32_t>(options_.wwn >> (48 - 16 * i)) & 0xffff);
  }
  data.word(88, 0x003fu | uint32_t{ultra_mode_} << 8);
  data.word(93, serial ? 0 : 0x6001);
  std::ranges::copy(data.bytes(), pio_data().begin());
  step_ = Step::Page;
  give_block(0, data.bytes().size());
}

}  // namespace rhea::devices
