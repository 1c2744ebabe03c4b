// What a drive says about the disc in it: table of contents, disc and track information, DVD structures, and
// the features of GET CONFIGURATION. MMC-5 6.5, 6.22, 6.23, 6.26 and 6.27.
#include <algorithm>

#include "devices/scsi/cdrom_commands.h"
#include "devices/scsi/scsi_bytes.h"

namespace rhea::devices::scsi {
namespace {

// An 80-minute CD.
constexpr uint32_t kMostCdSectors = 80 * 60 * 75;
constexpr uint8_t kLeadOut = 0xaa;
constexpr uint8_t kDataTrack = 0x14;  // ADR 1, control 4
constexpr uint32_t kPregap = 150;
constexpr uint16_t kProfileCd = 0x0008, kProfileDvd = 0x0010;

void put_msf(std::span<uint8_t> to, size_t at, uint32_t lba) {
  const uint32_t frames = lba + kPregap;
  to[at] = static_cast<uint8_t>(frames / 75 / 60);
  to[at + 1] = static_cast<uint8_t>(frames / 75 % 60);
  to[at + 2] = static_cast<uint8_t>(frames % 75);
}

void append_address(std::vector<uint8_t>& out, uint32_t lba, bool msf) {
  out.resize(out.size() + 4);
  if (msf)
    put_msf(out, out.size() - 3, lba);
  else
    put32(out, out.size() - 4, lba);
}

std::vector<uint8_t> toc_of_tracks(uint32_t end, bool msf, uint8_t from) {
  std::vector<uint8_t> out{0, 0, 1, 1};
  if (from <= 1) {
    out.insert(out.end(), {0, kDataTrack, 1, 0});
    append_address(out, 0, msf);
  }
  out.insert(out.end(), {0, kDataTrack, kLeadOut, 0});
  append_address(out, end, msf);
  return out;
}

std::vector<uint8_t> toc_of_sessions(bool msf) {
  std::vector<uint8_t> out{0, 0, 1, 1, 0, kDataTrack, 1, 0};
  append_address(out, 0, msf);
  return out;
}

// 6.26.3.4: one entry a point, addresses as minutes, seconds and frames.
std::vector<uint8_t> full_toc(uint32_t end) {
  std::vector<uint8_t> out{0, 0, 1, 1};
  const auto point = [&out](uint8_t name) {
    out.insert(out.end(), {1, kDataTrack, 0, name, 0, 0, 0, 0, 0, 0, 0});
    return std::span(out).last(11);
  };
  point(0xa0)[8] = 1;  // first track
  point(0xa1)[8] = 1;  // last track
  put_msf(point(0xa2), 8, end);
  put_msf(point(1), 8, 0);
  return out;
}

}  // namespace

bool CdromCommands::is_dvd() const {
  return sectors() > kMostCdSectors;
}

CdReply CdromCommands::read_toc(std::span<const uint8_t> cdb) {
  const bool msf = (cdb[1] & 0x02) != 0;
  // Old drives were told the format in the last byte.
  const uint8_t format = (cdb[2] & 0x0f) != 0 ? cdb[2] & 0x0f : cdb[9] >> 6;
  const uint8_t from = cdb[6];
  Data out;
  switch (format) {
    case 0:
      if (from > 1 && from != kLeadOut) return illegal();
      out = toc_of_tracks(sectors(), msf, from);
      break;
    case 1: out = toc_of_sessions(msf); break;
    case 2: out = full_toc(sectors()); break;
    default: return illegal();
  }
  put16(out, 0, static_cast<uint32_t>(out.size() - 2));
  return data(std::move(out), get16(cdb, 7));
}

CdReply CdromCommands::disc_information(std::span<const uint8_t> cdb) {
  if ((cdb[1] & 0x07) != 0) return illegal();
  Data out(34);
  put16(out, 0, 32);
  out[2] = 0x0e;  // complete disc, complete session
  out[3] = 1;     // first track
  out[4] = 1;     // sessions
  out[5] = 1;     // first and last track of the last one
  out[6] = 1;
  out[7] = 0x20;  // unrestricted use
  return data(std::move(out), get16(cdb, 7));
}

CdReply CdromCommands::track_information(std::span<const uint8_t> cdb) {
  const uint8_t kind = cdb[1] & 0x03;
  const uint32_t number = get32(cdb, 2);
  const bool known = (kind == 0 && number < sectors()) || (kind != 0 && kind != 3 && number == 1);
  if (!known) return illegal();
  Data out(36);
  put16(out, 0, 34);
  out[2] = 1;     // track
  out[3] = 1;     // session
  out[5] = 0x04;  // data
  out[6] = 0x01;  // mode 1
  put32(out, 24, sectors());
  return data(std::move(out), get16(cdb, 7));
}

CdReply CdromCommands::dvd_structure(std::span<const uint8_t> cdb) {
  if (!is_dvd()) return fail(kIllegal, 0x30);  // incompatible medium
  if (cdb[1] != 0) return illegal();
  Data out;
  switch (cdb[7]) {
    case 0x00: {  // physical format
      if (cdb[6] != 0) return illegal();
      out.resize(2048 + 4);
      out[4] = 0x01;            // DVD-ROM, part version 1
      out[5] = 0x0f;            // 120 mm, no maximum rate
      out[6] = 0x01;            // one layer, read-only
      put32(out, 8, 0x030000);  // where data begins
      put32(out, 12, 0x030000 + sectors() - 1);
      put32(out, 16, 0x030000 + sectors() - 1);
      break;
    }
    case 0x01: out.resize(4 + 4); break;     // copyright: none
    case 0x03: return illegal();             // no burst cutting area
    case 0x04: out.resize(2048 + 4); break;  // manufacturing
    case 0xff:
      // What can be asked for: format, readable, length.
      out = {0, 0, 0, 0, 0x00, 0x40, 0x08, 0x04, 0x01, 0x40, 0, 8, 0x04, 0x40, 0x08, 0x04, 0xff, 0x40, 0, 20};
      break;
    default: return illegal();
  }
  put16(out, 0, static_cast<uint32_t>(out.size() - 2));
  return data(std::move(out), get16(cdb, 8));
}

CdReply CdromCommands::get_configuration(std::span<const uint8_t> cdb) {
  const uint32_t first = get16(cdb, 2);
  const uint8_t kind = cdb[1] & 0x03;
  if (kind == 3) return illegal();
  const uint16_t profile = !ready() ? uint16_t{0} : is_dvd() ? kProfileDvd : kProfileCd;
  Data out(8);
  put16(out, 6, profile);
  const auto wanted = [&](uint32_t feature) { return kind == 2 ? feature == first : feature >= first; };
  if (wanted(0)) {  // profile list
    const auto is = [&](uint16_t which) { return static_cast<uint8_t>(profile == which ? 1 : 0); };
    out.insert(out.end(),
               {0, 0, 0x03, 8, 0, kProfileDvd, is(kProfileDvd), 0, 0, kProfileCd, is(kProfileCd), 0});
  }
  if (wanted(1)) out.insert(out.end(), {0, 1, 0x0b, 8, 0, 0, 0, 2, 1, 0, 0, 0});  // core: ATAPI
  if (wanted(2)) out.insert(out.end(), {0, 2, 0x07, 4, 0, 0, 0, 0});              // morphing: polled events
  if (wanted(3)) out.insert(out.end(), {0, 3, 0x03, 4, 0x29, 0, 0, 0});  // tray that locks and ejects
  if (wanted(0x10)) out.insert(out.end(), {0, 0x10, 0, 8, 0, 0, 8, 0, 0, 0x10, 0, 0});  // random readable
  if (wanted(0x1e)) {                                                                   // CD read
    const uint8_t current = profile == kProfileCd ? 1 : 0;
    out.insert(out.end(), {0, 0x1e, static_cast<uint8_t>(0x08 | current), 4, 0, 0, 0, 0});
  }
  if (wanted(0x1f)) {  // DVD read
    const uint8_t current = profile == kProfileDvd ? 1 : 0;
    out.insert(out.end(), {0, 0x1f, static_cast<uint8_t>(0x08 | current), 4, 0, 0, 0, 0});
  }
  put32(out, 0, static_cast<uint32_t>(out.size() - 4));
  return data(std::move(out), get16(cdb, 7));
}

}  // namespace rhea::devices::scsi
