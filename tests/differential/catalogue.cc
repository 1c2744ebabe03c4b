#include "catalogue.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/dbt/decode.h"

namespace rhea::differential {

namespace {

constexpr int kInvalid = -1;

ZydisDecoder make_decoder(unsigned bits) {
  ZydisDecoder d;
  if (bits == 64) {
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  } else if (bits == 32) {
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
  } else {
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
  }
  return d;
}

// One choice of everything but ModRM.
struct Probe {
  const ZydisDecoder* decoder;
  Template proto;
  std::array<uint8_t, 8> head;
  unsigned head_size;

  // Mnemonic and set of the instruction with this ModRM, or kInvalid.
  int ask(uint8_t modrm, bool& has_modrm) const {
    uint8_t bytes[24] = {};
    std::copy_n(head.data(), head_size, bytes);
    bytes[head_size] = modrm;
    bytes[head_size + 1] = 0x24;
    ZydisDecoderContext context;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, &context, bytes, 15, &z))) return kInvalid;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeOperands(decoder, &context, &z, operands, z.operand_count)))
      return kInvalid;
    if (z.opcode != proto.opcode || z.opcode_map != proto.map || z.encoding != proto.encoding)
      return kInvalid;
    has_modrm = (z.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    return z.mnemonic << 16 | z.meta.isa_set;
  }
};

void add(std::vector<Template>& out, const Probe& p, int key, bool has_modrm, bool memory, int reg, int rm) {
  Template t = p.proto;
  t.mnemonic = static_cast<uint16_t>(key >> 16);
  t.isa_set = static_cast<uint16_t>(key & 0xffff);
  t.has_modrm = has_modrm;
  t.memory = memory;
  t.reg = static_cast<int8_t>(reg);
  t.rm = static_cast<int8_t>(rm);
  out.push_back(t);
}

// The memory forms: one template when ModRM.reg is a plain register, else one for each value.
void expand_memory(std::vector<Template>& out, const Probe& p) {
  int keys[8];
  bool modrm = false;
  for (unsigned reg = 0; reg < 8; ++reg) keys[reg] = p.ask(static_cast<uint8_t>(reg << 3 | 4), modrm);
  if (keys[0] != kInvalid && std::all_of(keys, keys + 8, [&](int k) { return k == keys[0]; })) {
    add(out, p, keys[0], true, true, -1, -1);
    return;
  }
  for (int reg = 0; reg < 8; ++reg) {
    if (keys[reg] != kInvalid) add(out, p, keys[reg], true, true, reg, -1);
  }
}

void expand_registers(std::vector<Template>& out, const Probe& p) {
  int keys[64];
  bool modrm = false;
  for (unsigned i = 0; i < 64; ++i) keys[i] = p.ask(static_cast<uint8_t>(0xc0 | i), modrm);
  if (keys[0] != kInvalid && std::all_of(keys, keys + 64, [&](int k) { return k == keys[0]; })) {
    add(out, p, keys[0], true, false, -1, -1);
    return;
  }
  for (int reg = 0; reg < 8; ++reg) {
    const int* row = keys + reg * 8;
    if (row[0] != kInvalid && std::all_of(row, row + 8, [&](int k) { return k == row[0]; })) {
      add(out, p, row[0], true, false, reg, -1);
      continue;
    }
    for (int rm = 0; rm < 8; ++rm) {
      if (row[rm] != kInvalid) add(out, p, row[rm], true, false, reg, rm);
    }
  }
}

void expand(std::vector<Template>& out, const Probe& p) {
  bool modrm = false;
  int key = kInvalid;
  for (unsigned m : {0xc0u, 0x04u, 0xc8u, 0x0cu, 0xe0u, 0x24u, 0xf8u, 0x3cu}) {
    key = p.ask(static_cast<uint8_t>(m), modrm);
    if (key != kInvalid) break;
  }
  if (key != kInvalid && !modrm) {
    add(out, p, key, false, false, -1, -1);
    return;
  }
  expand_memory(out, p);
  expand_registers(out, p);
}

void legacy(std::vector<Template>& out, const ZydisDecoder& d, unsigned bits) {
  static constexpr uint16_t kPrefixes[] = {0, 0x66, 0xf2, 0xf3, 0x66f2, 0x66f3};
  for (unsigned map = 0; map < 4; ++map) {
    for (uint16_t prefix : kPrefixes) {
      for (bool wide : {false, true}) {
        if (wide && bits != 64) continue;
        for (unsigned opcode = 0; opcode < 256; ++opcode) {
          Probe p{&d, {}, {}, 0};
          p.proto.encoding = ZYDIS_INSTRUCTION_ENCODING_LEGACY;
          p.proto.map = static_cast<uint8_t>(map);
          p.proto.opcode = static_cast<uint8_t>(opcode);
          p.proto.mandatory = static_cast<uint8_t>(prefix & 0xff);
          p.proto.second_prefix = static_cast<uint8_t>(prefix >> 8);
          p.proto.wide = wide;
          auto put = [&](unsigned b) { p.head[p.head_size++] = static_cast<uint8_t>(b); };
          if (prefix >> 8 != 0) put(prefix >> 8);
          if ((prefix & 0xff) != 0) put(prefix & 0xffu);
          if (wide) put(0x48);
          if (map >= 1) put(0x0f);
          if (map == 2) put(0x38);
          if (map == 3) put(0x3a);
          put(opcode);
          expand(out, p);
        }
      }
    }
  }
}

constexpr uint8_t kPp[4] = {0, 0x66, 0xf3, 0xf2};

// vvvv is tried as a register and as "none".
void vex(std::vector<Template>& out, const ZydisDecoder& d) {
  for (unsigned n = 0; n < 3 * 4 * 2 * 2 * 256; ++n) {
    unsigned opcode = n & 255, l = n >> 8 & 1, w = n >> 9 & 1, pp = n >> 10 & 3, map = (n >> 12) + 1;
    Probe p{&d, {}, {}, 4};
    p.proto.encoding = ZYDIS_INSTRUCTION_ENCODING_VEX;
    p.proto.map = static_cast<uint8_t>(map);
    p.proto.opcode = static_cast<uint8_t>(opcode);
    p.proto.mandatory = kPp[pp];
    p.proto.wide = w != 0;
    p.proto.length_bits = static_cast<uint8_t>(l);
    size_t before = out.size();
    for (unsigned vvvv : {0xfu, 0xau}) {
      p.head = {0xc4, static_cast<uint8_t>(0xe0 | map),
                static_cast<uint8_t>(w << 7 | vvvv << 3 | l << 2 | pp), static_cast<uint8_t>(opcode)};
      expand(out, p);
      if (out.size() != before) break;
    }
  }
}

void evex(std::vector<Template>& out, const ZydisDecoder& d) {
  for (unsigned n = 0; n < 3 * 4 * 2 * 3 * 2 * 2 * 256; ++n) {
    unsigned opcode = n & 255, masked = n >> 8 & 1, b = n >> 9 & 1, w = n >> 10 & 1, pp = n >> 11 & 3;
    unsigned rest = n >> 13, l = rest % 3, map = rest / 3 + 1;
    Probe p{&d, {}, {}, 5};
    p.proto.encoding = ZYDIS_INSTRUCTION_ENCODING_EVEX;
    p.proto.map = static_cast<uint8_t>(map);
    p.proto.opcode = static_cast<uint8_t>(opcode);
    p.proto.mandatory = kPp[pp];
    p.proto.wide = w != 0;
    p.proto.length_bits = static_cast<uint8_t>(l);
    p.proto.broadcast = b != 0;
    p.proto.masked = masked != 0;
    size_t before = out.size();
    for (unsigned vvvv : {0xfu, 0xau}) {
      p.head = {0x62, static_cast<uint8_t>(0xf0 | map), static_cast<uint8_t>(w << 7 | vvvv << 3 | 4 | pp),
                static_cast<uint8_t>(l << 5 | b << 4 | 8 | masked), static_cast<uint8_t>(opcode)};
      expand(out, p);
      if (out.size() != before) break;
    }
  }
}

// A representative of the template, for the table lookup.
std::vector<uint8_t> example(const Template& t, unsigned bits) {
  std::vector<uint8_t> b;
  unsigned pp = t.mandatory == 0 ? 0 : t.mandatory == 0x66 ? 1 : t.mandatory == 0xf3 ? 2 : 3;
  auto put = [&](unsigned v) { b.push_back(static_cast<uint8_t>(v)); };
  for (unsigned vvvv : {0xfu, 0xau}) {
    b.clear();
    if (t.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
      put(0xc4), put(0xe0u | t.map),
          put(unsigned{t.wide} << 7 | vvvv << 3 | unsigned{t.length_bits} << 2 | pp);
    } else if (t.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
      put(0x62), put(0xf0u | t.map), put(unsigned{t.wide} << 7 | vvvv << 3 | 4 | pp);
      put(unsigned{t.length_bits} << 5 | unsigned{t.broadcast} << 4 | 8 | unsigned{t.masked});
    } else {
      if (t.second_prefix != 0) put(t.second_prefix);
      if (t.mandatory != 0) put(t.mandatory);
      if (t.wide) put(0x48);
      if (t.map >= 1) put(0x0f);
      if (t.map == 2) put(0x38);
      if (t.map == 3) put(0x3a);
    }
    put(t.opcode);
    unsigned reg = t.reg >= 0 ? static_cast<unsigned>(t.reg) : 0;
    if (t.has_modrm)
      put((t.memory ? 0 : 0xc0u) | reg << 3 | (t.memory ? 4u : t.rm >= 0 ? static_cast<unsigned>(t.rm) : 0));
    b.resize(15, 0x24);
    if (form_of(b.data(), 15, bits)->mnemonic == t.mnemonic) break;
  }
  return b;
}

}  // namespace

bool decode_example(const uint8_t* bytes, unsigned length, unsigned bits, dbt::Insn& out) {
  return dbt::decode(bytes, length, bits, 0, out) == dbt::DecodeStatus::Ok;
}

const dbt::Form* form_of(const uint8_t* bytes, unsigned length, unsigned bits) {
  static const dbt::Form none{};
  dbt::Insn insn{};
  if (dbt::decode(bytes, length, bits, 0, insn) != dbt::DecodeStatus::Ok) return &none;
  return insn.form;
}

std::string Template::name() const {
  std::string s = ZydisMnemonicGetString(static_cast<ZydisMnemonic>(mnemonic));
  s += ' ';
  s += ZydisISASetGetString(static_cast<ZydisISASet>(isa_set));
  s += memory ? " mem" : has_modrm ? " reg" : "";
  if (masked) s += " masked";
  if (broadcast) s += " b";
  return s;
}

std::vector<Template> make_catalogue(unsigned bits) {
  std::vector<Template> all;
  ZydisDecoder d = make_decoder(bits);
  legacy(all, d, bits);
  vex(all, d);
  evex(all, d);
  for (Template& t : all) {
    std::vector<uint8_t> bytes = example(t, bits);
    t.form = form_of(bytes.data(), 15, bits);
    dbt::Insn insn{};
    if (!t.memory || !decode_example(bytes.data(), 15, bits, insn)) continue;
    t.memory_bytes = insn.mem.bytes;
    t.reads = insn.mem.read;
    t.writes = insn.mem.write;
  }
  return all;
}

}  // namespace rhea::differential
