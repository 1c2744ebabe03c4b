// Commands and their answers.
#include "devices/scsi/scsi_disk.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"

namespace rhea::devices::scsi {
namespace {

constexpr uint32_t kBlock = 512;
constexpr char kVendor[] = "QEMU    ";
constexpr char kProduct[] = "QEMU HARDDISK   ";
constexpr char kRevision[] = "2.5+";
constexpr uint8_t kGeometryPage = 0x04, kCachingPage = 0x08, kAllPages = 0x3f;
constexpr uint32_t kMostUnmapBlocks = 1u << 22, kMostUnmapRanges = 255;

void put16(std::vector<uint8_t>& to, uint64_t value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}
void put32(std::vector<uint8_t>& to, uint64_t value) {
  put16(to, value >> 16 & 0xffff);
  put16(to, value & 0xffff);
}
void put64(std::vector<uint8_t>& to, uint64_t value) {
  put32(to, value >> 32);
  put32(to, value & UINT32_MAX);
}
void put_text(std::vector<uint8_t>& to, std::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
}

}  // namespace

ScsiDisk::ScsiDisk(Wiring wiring) : wiring_(std::move(wiring)) {
  if (!wiring_.cdrom) return;
  cd_.emplace(wiring_.drive, CdromCommands::Options{.product = "QEMU CD-ROM", .atapi = false});
  attention_ = {};  // CdromCommands has its own
}

uint64_t ScsiDisk::blocks() const {
  return drive() == nullptr ? 0 : drive()->size() / kBlock;
}
uint32_t ScsiDisk::field32(size_t at) const {
  return load_be<uint32_t>(&command_[at]);
}
uint16_t ScsiDisk::field16(size_t at) const {
  return load_be<uint16_t>(&command_[at]);
}
uint64_t ScsiDisk::field64(size_t at) const {
  return load_be<uint64_t>(&command_[at]);
}

void ScsiDisk::start(std::span<const uint8_t> command) {
  reset();
  std::ranges::copy(command.first(std::min(command.size(), command_.size())), command_.begin());
  const auto op = static_cast<Op>(command_[0]);
  // SPC-4, 5.14: what happened since is told once, by any command but these.
  if (cd_) return execute_cd();
  const bool tells = op != Op::Inquiry && op != Op::ReportLuns && op != Op::RequestSense;
  if (tells && attention_.key != 0) {
    const Sense attention = attention_;
    attention_ = {};
    fail(attention);
  } else {
    execute();
  }
}

void ScsiDisk::execute() {
  switch (static_cast<Op>(command_[0])) {
    case Op::TestUnitReady:
      if (check_medium()) finish();
      return;
    case Op::RequestSense: return request_sense();
    case Op::Inquiry: return inquiry();
    case Op::ReportLuns: return report_luns();
    case Op::ModeSense6:
    case Op::ModeSense10: return mode_sense();
    case Op::ModeSelect6: return expect(command_[4], Use::ModeSelect);
    case Op::ModeSelect10: return expect(field16(7), Use::ModeSelect);
    case Op::StartStop: return start_stop();
    case Op::PreventRemoval:
      if (drive() != nullptr) drive()->set_locked((command_[4] & 1) != 0);
      return finish();
    case Op::ReadFormatCapacities: return read_format_capacities();
    case Op::ReadCapacity10: return read_capacity10();
    case Op::ServiceActionIn16: return (command_[1] & 0x1f) == 0x10 ? read_capacity16() : fail(kInvalidField);
    case Op::Read6:
    case Op::Write6: {
      const uint32_t block = field32(0) & 0x1fffff;
      const uint32_t count = command_[4] == 0 ? 256 : command_[4];
      return read_or_write(static_cast<Op>(command_[0]) == Op::Write6, block, count, false);
    }
    case Op::Read10: return read_or_write(false, field32(2), field16(7), false);
    case Op::Write10: return read_or_write(true, field32(2), field16(7), (command_[1] & 8) != 0);
    case Op::Read12: return read_or_write(false, field32(2), field32(6), false);
    case Op::Write12: return read_or_write(true, field32(2), field32(6), (command_[1] & 8) != 0);
    case Op::Read16: return read_or_write(false, field64(2), field32(10), false);
    case Op::Write16: return read_or_write(true, field64(2), field32(10), (command_[1] & 8) != 0);
    case Op::Verify10:
    case Op::Verify16:
      if ((command_[1] & 6) != 0) return fail(kInvalidField);  // BYTCHK: with data to compare
      if (check_medium()) finish();
      return;
    case Op::SynchronizeCache10:
    case Op::SynchronizeCache16:
      if (check_medium()) flush();
      return;
    case Op::WriteSame10: return write_same(field32(2), field16(7));
    case Op::WriteSame16: return write_same(field64(2), field32(10));
    case Op::Unmap: return expect(field16(7), Use::Unmap);
    case Op::FormatUnit: break;
  }
  fail(kInvalidOp);
}

void ScsiDisk::execute_cd() {
  CdReply reply = cd_->execute(command_);
  switch (reply.kind) {
    case CdReply::Kind::Good: return finish();
    case CdReply::Kind::Failed: return fail(cd_->sense());
    case CdReply::Kind::Data: return answer(std::move(reply.data), UINT64_MAX);
    case CdReply::Kind::Sectors: break;
  }
  if (reply.raw) return fail(kInvalidField);
  if (reply.sectors == 0) return finish();
  at_ = uint64_t{reply.lba} * CdromCommands::kSector;
  left_ = total_ = uint64_t{reply.sectors} * CdromCommands::kSector;
  direction_ = Direction::ToHost;
  use_ = Use::Medium;
  phase_ = Phase::Data;
  fetch();
}

bool ScsiDisk::check_medium() {
  if (drive() == nullptr || !drive()->inserted() || drive()->tray_open()) {
    fail(kNotReadyNoMedium);
    return false;
  }
  if (stopped_) {
    fail(kNotReadyStopped);
    return false;
  }
  return true;
}

void ScsiDisk::answer(std::vector<uint8_t> data, uint64_t allocation) {
  if (data.size() > allocation) data.resize(static_cast<size_t>(allocation));
  if (data.empty()) return finish();
  direction_ = Direction::ToHost;
  phase_ = Phase::Data;
  total_ = data.size();
  queue_ = std::move(data);
}

void ScsiDisk::fail(Sense sense) {
  sense_ = told_ = sense;
  phase_ = Phase::Finished;
  queue_.clear();
  left_ = 0;
  busy_ = 0;
  ++generation_;
}

void ScsiDisk::finish() {
  phase_ = Phase::Finished;
}

// SPC-4, 6.6.
void ScsiDisk::inquiry() {
  if ((command_[1] & 1) != 0) return vital_product_data(command_[2]);
  if (command_[2] != 0) return fail(kInvalidField);
  std::vector<uint8_t> out = {0, static_cast<uint8_t>(wiring_.removable ? 0x80 : 0), 5, 0x02, 31, 0, 0, 0x02};
  put_text(out, std::string_view(kVendor, 8));
  put_text(out, std::string_view(kProduct, 16));
  put_text(out, kRevision);
  answer(std::move(out), field16(3));
}

// SPC-4, 7.8; SBC-3, 6.5.
void ScsiDisk::vital_product_data(uint8_t page) {
  std::vector<uint8_t> body;
  switch (page) {
    case 0x00:
      body = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
      if (wiring_.serial.empty()) body.erase(body.begin() + 1);
      break;
    case 0x80:
      if (wiring_.serial.empty()) return fail(kInvalidField);
      put_text(body, wiring_.serial);
      break;
    case 0x83: {
      const std::string text = std::string(kVendor) + (wiring_.serial.empty() ? "disk" : wiring_.serial);
      body = {2, 1, 0, static_cast<uint8_t>(text.size())};
      put_text(body, text);
      break;
    }
    case 0xb0:  // limits
      body.assign(60, 0);
      body[0] = 1;  // WSNZ: no number of blocks does not mean all
      store_be(&body[16], kMostUnmapBlocks);
      store_be(&body[20], kMostUnmapRanges);
      store_be(&body[24], uint32_t{8});
      store_be(&body[32], uint64_t{kMostUnmapBlocks});
      break;
    case 0xb1:  // characteristics: a rotation rate that is not reported
      body.assign(60, 0);
      break;
    case 0xb2:  // thin provisioning
      body = {0, static_cast<uint8_t>(drive() != nullptr && drive()->discards() ? 0xe0 : 0x60), 2, 0};
      break;
    default: return fail(kInvalidField);
  }
  std::vector<uint8_t> out = {0, page};
  put16(out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  answer(std::move(out), field16(3));
}

// SPC-4, 6.39; fixed format.
void ScsiDisk::request_sense() {
  if (told_.key == 0 && attention_.key != 0) {
    told_ = attention_;
    attention_ = {};
  }
  std::vector<uint8_t> out(18);
  out[0] = 0x70;
  out[2] = told_.key;
  out[7] = 10;
  out[12] = told_.code;
  out[13] = told_.qualifier;
  told_ = {};
  answer(std::move(out), command_[4]);
}

// SBC, 8.3.10 (not in SBC-3 any more): cylinders, heads, how fast it turns. SeaBIOS asks.
void ScsiDisk::add_geometry(std::vector<uint8_t>& pages, bool changeable) const {
  constexpr uint64_t kHeads = 16, kSectors = 63;
  pages.insert(pages.end(), {kGeometryPage, 22});
  const size_t at = pages.size();
  pages.resize(at + 22);
  if (changeable) return;
  const auto cylinders =
      static_cast<uint32_t>(std::clamp<uint64_t>(blocks() / (kHeads * kSectors), 2, 16383));
  pages[at + 1] = static_cast<uint8_t>(cylinders >> 8);
  pages[at + 2] = static_cast<uint8_t>(cylinders);
  pages[at + 3] = kHeads;
  store_be(&pages[at + 18], uint16_t{5400});
}

// SPC-4, 6.11; SBC-3, 6.4.5. Changeable values: the write cache.
void ScsiDisk::mode_sense() {
  const bool wide = static_cast<Op>(command_[0]) == Op::ModeSense10;
  const uint8_t page = command_[2] & 0x3f;
  const uint8_t control = command_[2] >> 6;
  if (control == 3) return fail(kSavingUnsupported);
  if (page != kGeometryPage && page != kCachingPage && page != kAllPages && page != 0)
    return fail(kInvalidField);
  std::vector<uint8_t> pages;
  if (page == kGeometryPage || page == kAllPages) add_geometry(pages, control == 1);
  if (page == kCachingPage || page == kAllPages) {
    const bool cached = control == 1 || (drive() != nullptr && drive()->write_cache());
    pages.insert(pages.end(), {kCachingPage, 18, static_cast<uint8_t>(cached ? 4 : 0)});  // WCE
    pages.resize(pages.size() + 17);
  }
  const uint8_t protect = drive() != nullptr && drive()->read_only() ? 0x80 : 0;
  const uint8_t device = static_cast<uint8_t>(protect | 0x10);  // DPOFUA
  std::vector<uint8_t> descriptor;
  const bool has_descriptor = (command_[1] & 8) == 0 && blocks() != 0;
  if (has_descriptor) {
    put32(descriptor, std::min<uint64_t>(blocks(), 0xffffff));
    put32(descriptor, kBlock);
  }
  std::vector<uint8_t> out;
  const size_t length = descriptor.size() + pages.size();
  if (wide) {
    put16(out, length + 6);
    out.insert(out.end(), {0, device, 0, 0});
    put16(out, descriptor.size());
  } else {
    out = {static_cast<uint8_t>(length + 3), 0, device, static_cast<uint8_t>(descriptor.size())};
  }
  out.insert(out.end(), descriptor.begin(), descriptor.end());
  out.insert(out.end(), pages.begin(), pages.end());
  answer(std::move(out), wide ? field16(7) : command_[4]);
}

// SBC-3, 5.25. Load and eject only where the medium can be taken out.
void ScsiDisk::start_stop() {
  if ((command_[4] & 0xf0) != 0) return finish();  // power conditions
  const bool on = (command_[4] & 1) != 0;
  if ((command_[4] & 2) != 0 && wiring_.removable && drive() != nullptr) {
    if (!on && drive()->locked()) return fail({5, 0x53, 0x02});
    drive()->set_tray_open(!on);
  } else {
    stopped_ = !on;
  }
  flush();
}

void ScsiDisk::read_capacity10() {
  if (!check_medium()) return;
  std::vector<uint8_t> out;
  put32(out, std::min<uint64_t>(blocks() == 0 ? 0 : blocks() - 1, UINT32_MAX));
  put32(out, kBlock);
  answer(std::move(out), 8);
}

void ScsiDisk::read_capacity16() {
  if (!check_medium()) return;
  std::vector<uint8_t> out;
  put64(out, blocks() == 0 ? 0 : blocks() - 1);
  put32(out, kBlock);
  out.resize(32);
  if (drive()->discards()) out[14] = 0x80;  // LBPME
  answer(std::move(out), field32(10));
}

// MMC-6, 6.23: what USB disks are asked too.
void ScsiDisk::read_format_capacities() {
  if (!check_medium()) return;
  std::vector<uint8_t> out = {0, 0, 0, 8};
  put32(out, std::min<uint64_t>(blocks(), UINT32_MAX));
  put32(out, 2u << 24 | kBlock);  // formatted
  answer(std::move(out), field16(7));
}

void ScsiDisk::report_luns() {
  std::vector<uint8_t> out(16);
  out[3] = 8;
  answer(std::move(out), field32(6));
}

void ScsiDisk::read_or_write(bool writes, uint64_t block, uint64_t count, bool force) {
  if (!check_medium()) return;
  if (block > blocks() || count > blocks() - block) return fail(kLbaOutOfRange);
  if (writes && drive()->read_only()) return fail(kWriteProtected);
  if (count == 0) return finish();
  at_ = block * kBlock;
  left_ = total_ = count * kBlock;
  force_ = force;
  direction_ = writes ? Direction::FromHost : Direction::ToHost;
  use_ = Use::Medium;
  phase_ = Phase::Data;
  if (!writes) fetch();
}

// SBC-3, 5.45. One block comes, and must be zeros: that is what drivers use it for.
void ScsiDisk::write_same(uint64_t block, uint64_t count) {
  if (!check_medium()) return;
  if (count == 0 || count > kMostUnmapBlocks) return fail(kInvalidField);
  if (block > blocks() || count > blocks() - block) return fail(kLbaOutOfRange);
  if (drive()->read_only()) return fail(kWriteProtected);
  at_ = block * kBlock;
  left_ = count * kBlock;
  if ((command_[1] & 1) != 0) {  // NDOB: zeros, without a block that says so
    zero_next();
  } else {
    expect(kBlock, Use::WriteSame);
  }
}

void ScsiDisk::expect(uint64_t bytes, Use use) {
  if (bytes == 0) return finish();
  total_ = bytes;
  direction_ = Direction::FromHost;
  use_ = use;
  phase_ = Phase::Data;
}

// All parameters came.
void ScsiDisk::use_parameters() {
  switch (use_) {
    case Use::Medium: return;
    case Use::Unmap: return unmap();
    case Use::WriteSame:
      if (std::ranges::any_of(queue_, [](uint8_t byte) { return byte != 0; })) return fail(kInvalidParameter);
      queue_.clear();
      return zero_next();
    case Use::ModeSelect: {
      const bool wide = static_cast<Op>(command_[0]) == Op::ModeSelect10;
      const size_t head = wide ? 8 : 4;
      if (queue_.size() < head) return fail(kInvalidParameter);
      const size_t descriptors = wide ? load_be<uint16_t>(&queue_[6]) : queue_[3];
      const size_t page = head + descriptors;
      if (queue_.size() > page) {
        if (queue_.size() < page + 3 || (queue_[page] & 0x3f) != kCachingPage) return fail(kInvalidParameter);
        if (drive() != nullptr) drive()->set_write_cache((queue_[page + 2] & 4) != 0);
      }
      return finish();
    }
  }
}

// SBC-3, 5.32: checked as a whole, then done range by range.
void ScsiDisk::unmap() {
  if (!check_medium()) return;
  if (drive()->read_only()) return fail(kWriteProtected);
  if (queue_.size() < 8) return fail(kInvalidParameter);
  const size_t bytes = std::min<size_t>(load_be<uint16_t>(&queue_[2]), queue_.size() - 8) / 16 * 16;
  if (bytes / 16 > kMostUnmapRanges) return fail(kInvalidParameter);
  for (size_t at = 8; at < 8 + bytes; at += 16) {
    const uint64_t block = load_be<uint64_t>(&queue_[at]);
    const uint64_t count = load_be<uint32_t>(&queue_[at + 8]);
    if (count > kMostUnmapBlocks) return fail(kInvalidParameter);
    if (block > blocks() || count > blocks() - block) return fail(kLbaOutOfRange);
  }
  queue_.erase(queue_.begin(), queue_.begin() + 8);
  queue_.resize(bytes);
  unmap_next();
}

}  // namespace rhea::devices::scsi
