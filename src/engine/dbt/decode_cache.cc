#include "engine/dbt/decode_cache.h"

#include <Zydis/Zydis.h>

#include <array>
#include <cstring>
#include <initializer_list>
#include <utility>

namespace rhea::dbt {

namespace {

constexpr size_t kWindow = 16;  // bytes that may be read at once; no instruction is longer

constexpr std::array<bool, 256> table(std::initializer_list<std::pair<int, int>> ranges) {
  std::array<bool, 256> t{};
  for (auto [first, last] : ranges) {
    for (int n = first; n <= last; ++n) t[static_cast<size_t>(n)] = true;
  }
  return t;
}

// SDM vol. 2D, appendix A. An opcode too many in the ModRM tables only makes keys longer than they need be.
constexpr auto kPrefix =
    table({{0x26, 0x26}, {0x2e, 0x2e}, {0x36, 0x36}, {0x3e, 0x3e}, {0x64, 0x67}, {0xf0, 0xf0}, {0xf2, 0xf3}});
constexpr auto kModrm = table({{0x00, 0x03},
                               {0x08, 0x0b},
                               {0x10, 0x13},
                               {0x18, 0x1b},
                               {0x20, 0x23},
                               {0x28, 0x2b},
                               {0x30, 0x33},
                               {0x38, 0x3b},
                               {0x62, 0x63},
                               {0x69, 0x69},
                               {0x6b, 0x6b},
                               {0x80, 0x8f},
                               {0xc0, 0xc1},
                               {0xc4, 0xc7},
                               {0xd0, 0xd3},
                               {0xd8, 0xdf},
                               {0xf6, 0xf7},
                               {0xfe, 0xff}});
constexpr auto kPlain0f = table({{0x05, 0x09},
                                 {0x0b, 0x0b},
                                 {0x0e, 0x0e},
                                 {0x30, 0x37},
                                 {0x77, 0x77},
                                 {0x80, 0x8f},
                                 {0xa0, 0xa2},
                                 {0xa8, 0xaa},
                                 {0xc8, 0xcf}});

// How many of the bytes decide; 0: not for us.
unsigned key_bytes(const uint8_t* b, unsigned code_bits) {
  unsigned n = 0;
  bool address_override = false;
  for (; kPrefix[b[n]]; ++n) {
    if (n == 4) return 0;
    if (b[n] == 0x67) address_override = true;
  }
  bool wide = code_bits == 64;
  if (wide && (b[n] & 0xf0) == 0x40) {
    ++n;
    if ((b[n] & 0xf0) == 0x40 || kPrefix[b[n]]) return 0;
  }
  bool modrm = true;
  switch (b[n]) {
    case 0x0f:
      ++n;
      if (b[n] == 0x0f) return 0;  // 3DNow!: the opcode comes last
      if (b[n] == 0x38 || b[n] == 0x3a)
        ++n;
      else
        modrm = !kPlain0f[b[n]];
      break;
    case 0xc5:
      if (!wide) return 0;
      n += 2;
      break;
    case 0xc4:  // map 3 has registers in immediates
      if (!wide || ((b[n + 1] & 0x1f) != 1 && (b[n + 1] & 0x1f) != 2)) return 0;
      n += 3;
      break;
    case 0x62: return 0;
    case 0x8f:
      if ((b[n + 1] & 0x1f) >= 8) return 0;  // XOP
      break;
    case 0x9a:
    case 0xea:
    case 0xc8: return 0;  // two immediates
    default: modrm = kModrm[b[n]];
  }
  ++n;
  if (modrm) {
    bool sib = b[n] < 0xc0 && (b[n] & 7) == 4 && (code_bits != 16 || address_override);
    n += sib ? 2 : 1;
  }
  return n <= 8 ? n : 0;
}

int64_t value(const uint8_t* at, unsigned bytes, bool is_signed) {
  uint64_t v = 0;
  std::memcpy(&v, at, 8);
  unsigned unused = 64 - 8 * bytes;
  return is_signed ? static_cast<int64_t>(v << unused) >> unused
                   : static_cast<int64_t>(v << unused >> unused);
}

// The instruction's bytes, zeros behind.
void take_raw(Insn& out, const uint8_t* bytes, unsigned length) {
  uint64_t half[2];
  std::memcpy(half, bytes, 16);
  if (length < 8) {
    half[0] &= ~(~uint64_t{0} << 8 * length);
    half[1] = 0;
  } else {
    half[1] &= ~(~uint64_t{0} << 8 * (length - 8));
  }
  std::memcpy(out.raw, half, 16);
}

}  // namespace

DecodeStatus DecodeCache::decode(const uint8_t* bytes, size_t available, unsigned code_bits,
                                 unsigned page_offset, Insn& out) {
  unsigned n = available < 2 * kWindow ? 0 : key_bytes(bytes, code_bits);
  if (n == 0) return dbt::decode(bytes, available, code_bits, page_offset, out);
  uint64_t key;
  std::memcpy(&key, bytes, 8);
  key = key << (64 - 8 * n) >> (64 - 8 * n);
  size_t at = key * 0x9e3779b97f4a7c15u >> (64 - kBits);
  const Entry& e = entries_[at];
  if (e.key != key || e.code_bits != code_bits)
    return learn(at, key, bytes, available, code_bits, page_offset, out);
  out = insns_[at];
  take_raw(out, bytes, e.length);
  out.length = e.length;
  out.page_offset = static_cast<uint16_t>(page_offset);
  if (e.disp_bytes != 0) {
    out.mem.disp = value(bytes + e.disp_offset, e.disp_bytes, true);
    if (out.mem.base == kRip) out.mem.disp += e.length;
  }
  if (e.imm_bytes != 0) {
    out.imm = value(bytes + e.imm_offset, e.imm_bytes, e.imm_signed);
    if (e.shift && (out.imm & 0x1f) == 0) out.flags_written = 0;
  }
  return DecodeStatus::Ok;
}

DecodeStatus DecodeCache::learn(size_t at, uint64_t key, const uint8_t* bytes, size_t available,
                                unsigned code_bits, unsigned page_offset, Insn& out) {
  DecodeLayout layout;
  DecodeStatus status = dbt::decode(bytes, available, code_bits, page_offset, out, &layout);
  if (status != DecodeStatus::Ok || !layout.regular) return status;
  insns_[at] = out;
  insns_[at].flags_written = layout.flags_written;
  entries_[at] = {.key = key,
                  .code_bits = static_cast<uint8_t>(code_bits),
                  .length = out.length,
                  .disp_offset = layout.disp_offset,
                  .disp_bytes = layout.disp_bytes,
                  .imm_offset = out.imm_offset,
                  .imm_bytes = out.imm_bytes,
                  .imm_signed = layout.imm_signed,
                  .shift = layout.shift && out.imm_bytes != 0};
  return status;
}

}  // namespace rhea::dbt
