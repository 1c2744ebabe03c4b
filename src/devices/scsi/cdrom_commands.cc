// See cdrom_commands.h. What describes the disc (TOC, DVD structures, features) stands in cdrom_disc.cc.
#include "devices/scsi/cdrom_commands.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/trace.h"
#include "devices/scsi/scsi_bytes.h"

namespace rhea::devices::scsi {
namespace {

enum Opcode : uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kInquiry = 0x12,
  kModeSense6 = 0x1a,
  kStartStop = 0x1b,
  kPreventRemoval = 0x1e,
  kReadCapacity = 0x25,
  kRead10 = 0x28,
  kSeek10 = 0x2b,
  kVerify10 = 0x2f,
  kReadSubChannel = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kEventStatus = 0x4a,
  kDiscInformation = 0x51,
  kTrackInformation = 0x52,
  kModeSense10 = 0x5a,
  kRead12 = 0xa8,
  kDvdStructure = 0xad,
  kSetSpeed = 0xbb,
  kMechanismStatus = 0xbd,
  kReadCd = 0xbe,
};

constexpr uint8_t kPageRecovery = 0x01, kPageAudio = 0x0e, kPageCapabilities = 0x2a, kPageAll = 0x3f;

inline trace::Event<uint8_t, uint8_t, uint8_t> trace_cdrom_failed{"cdrom_failed",
                                                                  "sense {:#x} {:#04x}/{:#04x}"};
inline trace::Event<uint8_t> trace_cdrom_command{"cdrom_command", "opcode {:#04x}"};

// Those that answer whatever state the drive is in.
bool ignores_attention(uint8_t opcode) {
  return opcode == kInquiry || opcode == kRequestSense || opcode == kGetConfiguration ||
         opcode == kEventStatus;
}

}  // namespace

CdReply CdromCommands::fail(uint8_t key, uint8_t code, uint8_t qualifier) {
  trace_cdrom_failed(key, code, qualifier);
  sense_ = {.key = key, .code = code, .qualifier = qualifier};
  return {.kind = CdReply::Kind::Failed};
}

CdReply CdromCommands::data(Data bytes, size_t allocation) {
  bytes.resize(std::min(bytes.size(), allocation));
  if (bytes.empty()) return {};
  return {.kind = CdReply::Kind::Data, .data = std::move(bytes)};
}

uint32_t CdromCommands::sectors() const {
  if (drive_ == nullptr) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(drive_->size() / kSector, UINT32_MAX));
}

void CdromCommands::media_changed() {
  attention_ = true;
  event_ = drive_ != nullptr && drive_->inserted() ? Event::NewMedia : Event::Removal;
}

void CdromCommands::reset() {
  sense_ = {};
  attention_ = false;
  event_ = Event::None;
}

void CdromCommands::state(bus::StateVisitor& v) {
  v.field("sense_key", sense_.key);
  v.field("sense_code", sense_.code);
  v.field("sense_qualifier", sense_.qualifier);
  v.field("attention", attention_);
  v.field("event", event_);
}

CdReply CdromCommands::execute(std::span<const uint8_t> cdb) {
  if (cdb.size() < 12) return illegal();
  const uint8_t opcode = cdb[0];
  trace_cdrom_command(opcode);
  if (attention_ && ready() && !ignores_attention(opcode)) {
    attention_ = false;
    return fail(kAttention, 0x28);  // the medium may have changed
  }
  if (opcode != kRequestSense) sense_ = {};
  return dispatch(cdb);
}

CdReply CdromCommands::dispatch(std::span<const uint8_t> cdb) {
  switch (cdb[0]) {
    case kRequestSense: return request_sense(cdb[4]);
    case kInquiry: return inquiry(cdb);
    case kModeSense6:
    case kModeSense10: return mode_sense(cdb);
    case kStartStop: return start_stop(cdb);
    case kPreventRemoval: return prevent_removal(cdb);
    case kEventStatus: return event_status(cdb);
    case kGetConfiguration: return get_configuration(cdb);
    case kMechanismStatus: return mechanism_status(cdb);
    case kSetSpeed: return {};
    default: return dispatch_on_medium(cdb);
  }
}

CdReply CdromCommands::dispatch_on_medium(std::span<const uint8_t> cdb) {
  constexpr uint8_t kNeedMedium[] = {kTestUnitReady,  kReadCapacity, kRead10,          kRead12,
                                     kReadCd,         kReadToc,      kSeek10,          kVerify10,
                                     kReadSubChannel, kDvdStructure, kDiscInformation, kTrackInformation};
  if (std::ranges::find(kNeedMedium, cdb[0]) == std::end(kNeedMedium)) return fail(kIllegal, 0x20);
  if (!ready()) {
    const bool open = drive_ != nullptr && drive_->tray_open();
    return fail(kNotReady, 0x3a, open ? 2 : 1);
  }
  switch (cdb[0]) {
    case kReadCapacity: {
      if (sectors() == 0) return fail(kNotReady, 0x3a);
      Data out(8);
      put32(out, 0, sectors() - 1);
      put32(out, 4, kSector);
      return data(std::move(out), 8);
    }
    case kRead10: return read(get32(cdb, 2), get16(cdb, 7), false);
    case kRead12: return read(get32(cdb, 2), get32(cdb, 6), false);
    case kReadCd: return read_cd(cdb);
    case kSeek10:
      if (get32(cdb, 2) >= sectors()) return fail(kIllegal, 0x21);
      return {};
    case kVerify10:
      if ((cdb[1] & 0x02) != 0) return illegal();  // compares with data of the host
      if (!range_within(uint64_t{get32(cdb, 2)}, uint64_t{get16(cdb, 7)}, uint64_t{sectors()}))
        return fail(kIllegal, 0x21);
      return {};
    case kReadSubChannel: {
      Data out(4);
      out[1] = 0x15;  // no audio status to return
      return data(std::move(out), get16(cdb, 7));
    }
    case kReadToc: return read_toc(cdb);
    case kDiscInformation: return disc_information(cdb);
    case kTrackInformation: return track_information(cdb);
    case kDvdStructure: return dvd_structure(cdb);
    default: return {};
  }
}

CdReply CdromCommands::request_sense(size_t allocation) {
  Data out(18);
  out[0] = 0x70;
  out[2] = sense_.key;
  out[7] = 10;
  out[12] = sense_.code;
  out[13] = sense_.qualifier;
  sense_ = {};
  return data(std::move(out), allocation);
}

CdReply CdromCommands::inquiry(std::span<const uint8_t> cdb) {
  const size_t allocation = get16(cdb, 3);
  if ((cdb[1] & 0x01) != 0) {
    // Vital product data: which pages there are, and the serial number.
    const std::string serial = drive_ != nullptr ? drive_->serial() : "";
    Data out{0x05, cdb[2], 0, 0};
    if (cdb[2] == 0x00) {
      out.insert(out.end(), {0x00, 0x80});
    } else if (cdb[2] == 0x80) {
      out.insert(out.end(), serial.begin(), serial.end());
    } else {
      return illegal();
    }
    out[3] = static_cast<uint8_t>(std::min<size_t>(out.size() - 4, 255));
    return data(std::move(out), allocation);
  }
  if (cdb[2] != 0) return illegal();
  Data out(36);
  out[0] = 0x05;  // CD/DVD
  out[1] = 0x80;  // removable
  out[2] = options_.atapi ? 0x00 : 0x05;
  out[3] = options_.atapi ? 0x21 : 0x02;
  out[4] = static_cast<uint8_t>(out.size() - 5);
  put_text(out, 8, 8, options_.vendor);
  put_text(out, 16, 16, options_.product);
  put_text(out, 32, 4, options_.revision);
  return data(std::move(out), allocation);
}

CdReply CdromCommands::read(uint32_t lba, uint32_t count, bool raw) {
  if (!range_within(uint64_t{lba}, uint64_t{count}, uint64_t{sectors()})) return fail(kIllegal, 0x21);
  if (count == 0) return {};
  return {.kind = CdReply::Kind::Sectors, .lba = lba, .sectors = count, .raw = raw};
}

// MMC-5 6.19: which parts of the sectors are wanted.
CdReply CdromCommands::read_cd(std::span<const uint8_t> cdb) {
  const uint32_t lba = get32(cdb, 2);
  const uint32_t count = uint32_t{cdb[6]} << 16 | get16(cdb, 7);
  if (cdb[10] != 0) return illegal();  // sub-channel data
  switch (cdb[9] & 0xf8) {
    case 0x00: return {};
    case 0x10: return read(lba, count, false);
    case 0xf8: return read(lba, count, true);
    default: return illegal();
  }
}

void CdromCommands::make_raw(uint32_t lba, std::span<const uint8_t> sector, std::span<uint8_t> out) {
  std::ranges::fill(out, uint8_t{0});
  std::fill_n(out.begin() + 1, 10, uint8_t{0xff});  // sync
  const uint32_t frames = lba + 150;
  const auto bcd = [](uint32_t value) { return static_cast<uint8_t>(value / 10 % 16 << 4 | value % 10); };
  out[12] = bcd(frames / 75 / 60);
  out[13] = bcd(frames / 75 % 60);
  out[14] = bcd(frames % 75);
  out[15] = 1;  // mode
  std::ranges::copy(sector, out.begin() + 16);
}

CdReply CdromCommands::mode_sense(std::span<const uint8_t> cdb) {
  const bool is_short = cdb[0] == kModeSense6;
  const size_t header = is_short ? 4 : 8;
  const uint8_t control = cdb[2] >> 6;
  const uint8_t page = cdb[2] & 0x3f;
  if (control == 3) return fail(kIllegal, 0x39);  // saved values
  Data out(header);
  if (page == kPageRecovery || page == kPageAll) {
    const uint8_t retries = control == 1 ? 0 : 5;
    out.insert(out.end(), {kPageRecovery, 6, 0, retries, 0, 0, 0, 0});
  }
  if (page == kPageAudio || page == kPageAll) {
    Data audio(16);
    audio[0] = kPageAudio;
    audio[1] = 14;
    audio[2] = 4;  // immediate
    out.insert(out.end(), audio.begin(), audio.end());
  }
  if (page == kPageCapabilities || page == kPageAll) {
    Data caps(20);
    caps[0] = kPageCapabilities;
    caps[1] = 18;
    caps[2] = 0x3b;  // reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM
    caps[4] = 0x70;  // mode 2, multi-session
    const bool locked = drive_ != nullptr && drive_->locked();
    caps[6] = static_cast<uint8_t>(0x29 | (locked ? 0x02 : 0));  // a tray that locks and ejects
    put16(caps, 8, 706);                                         // kB/s
    put16(caps, 10, 2);                                          // volume levels
    put16(caps, 12, 512);                                        // buffer, KiB
    put16(caps, 14, 706);
    out.insert(out.end(), caps.begin(), caps.end());
  }
  if (out.size() == header) return illegal();
  const uint8_t medium = !ready() ? 0x70 : 0x01;
  if (is_short) {
    out[0] = static_cast<uint8_t>(out.size() - 1);
    out[1] = medium;
  } else {
    put16(out, 0, static_cast<uint16_t>(out.size() - 2));
    out[2] = medium;
  }
  return data(std::move(out), is_short ? cdb[4] : get16(cdb, 7));
}

// MMC-5 6.42.
CdReply CdromCommands::start_stop(std::span<const uint8_t> cdb) {
  const bool start = (cdb[4] & 0x01) != 0, tray = (cdb[4] & 0x02) != 0;
  if ((cdb[4] & 0xf0) != 0 || !tray || drive_ == nullptr) return {};  // power conditions, spinning
  if (!start && drive_->locked())
    return drive_->tray_open() ? fail(kNotReady, 0x53, 2) : fail(kIllegal, 0x53, 2);
  const bool was_open = drive_->tray_open();
  if (was_open == !start) return {};
  drive_->set_tray_open(!start);
  attention_ = start && drive_->inserted();
  event_ = start && drive_->inserted() ? Event::NewMedia : Event::Removal;
  return {};
}

CdReply CdromCommands::prevent_removal(std::span<const uint8_t> cdb) {
  if (drive_ != nullptr) drive_->set_locked((cdb[4] & 0x01) != 0);
  return {};
}

// MMC-5 6.6: only polled, only media events.
CdReply CdromCommands::event_status(std::span<const uint8_t> cdb) {
  constexpr uint8_t kMediaClass = 4, kMediaBit = 1 << kMediaClass;
  if ((cdb[1] & 0x01) == 0) return illegal();
  const size_t allocation = get16(cdb, 7);
  if ((cdb[4] & kMediaBit) == 0) return data(Data{0, 2, 0x80, kMediaBit}, allocation);
  Data out(8);
  put16(out, 0, 6);
  out[2] = kMediaClass;
  out[3] = kMediaBit;
  out[4] = static_cast<uint8_t>(event_);
  const bool open = drive_ != nullptr && drive_->tray_open();
  out[5] = static_cast<uint8_t>((open ? 1 : 0) | (ready() ? 2 : 0));
  if (allocation > 4) event_ = Event::None;
  return data(std::move(out), allocation);
}

CdReply CdromCommands::mechanism_status(std::span<const uint8_t> cdb) {
  Data out(8);
  if (drive_ != nullptr && drive_->tray_open()) out[1] = 0x10;
  out[5] = 1;
  return data(std::move(out), get16(cdb, 8));
}

}  // namespace rhea::devices::scsi
