// Byte templates: the handful of x86-64 encodings that the translator itself emits. Intel SDM vol. 2,
// chapter 2. Bytes go to the writable view of the code cache; relative distances are the same in the
// executable one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace rhea::dbt {

// Host registers by hardware number.
enum Host : uint8_t {
  hRAX,
  hRCX,
  hRDX,
  hRBX,
  hRSP,
  hRBP,
  hRSI,
  hRDI,
  hR8,
  hR9,
  hR10,
  hR11,
  hR12,
  hR13,
  hR14,
  hR15
};

// The register plan (docs/ARCHITECTURE.md, translator): scratch T0-T2 displace guest r9-r11, guest rsp lives
// in r15.
inline constexpr Host kT0 = hR9, kT1 = hR10, kT2 = hR11, kGuestSp = hR15;

enum Cond : uint8_t {
  ccO,
  ccNO,
  ccB,
  ccAE,
  ccE,
  ccNE,
  ccBE,
  ccA,
  ccS,
  ccNS,
  ccP,
  ccNP,
  ccL,
  ccGE,
  ccLE,
  ccG
};

// A host memory operand. base or index may be absent (kNone); with ctx set it is gs-relative (the vCPU's
// Context).
struct HostMem {
  static constexpr uint8_t kNone = 0xff;
  uint8_t base = kNone;
  uint8_t index = kNone;
  uint8_t scale = 0;
  int32_t disp = 0;
  bool ctx = false;
};
inline HostMem ctx_mem(size_t offset) {
  return {.disp = static_cast<int32_t>(offset), .ctx = true};
}
inline HostMem ctx_mem(size_t offset, Host index) {
  return {.base = index, .disp = static_cast<int32_t>(offset), .ctx = true};
}

class Assembler {
 public:
  explicit Assembler(uint8_t* at = nullptr) : p_(at) {}
  uint8_t* here() const { return p_; }
  void seek(uint8_t* at) { p_ = at; }

  void u8(unsigned v) { *p_++ = static_cast<uint8_t>(v); }
  void u16(unsigned v) { put(static_cast<uint16_t>(v)); }
  void u32(uint32_t v) { put(v); }
  void u64(uint64_t v) { put(v); }
  void bytes(const void* from, size_t n) {
    std::memcpy(p_, from, n);
    p_ += n;
  }

  // ModRM, SIB and displacement. EVEX scales 8-bit displacements: `allow_disp8` is off for it.
  void modrm(unsigned reg, const HostMem& m, bool allow_disp8 = true) {
    unsigned r = (reg & 7) << 3;
    if (m.base == HostMem::kNone && m.index == HostMem::kNone) {
      u8(r | 4);
      u8(0x25);
      u32(static_cast<uint32_t>(m.disp));
      return;
    }
    bool sib = m.index != HostMem::kNone || m.base == HostMem::kNone || (m.base & 7) == 4;
    unsigned mod;
    if (m.base == HostMem::kNone)
      mod = 0;
    else if (m.disp == 0 && (m.base & 7) != 5)
      mod = 0;
    else if (allow_disp8 && m.disp >= -128 && m.disp <= 127)
      mod = 1;
    else
      mod = 2;
    u8(mod << 6 | r | (sib ? 4 : m.base & 7));
    if (sib) {
      unsigned b = m.base == HostMem::kNone ? 5 : m.base & 7;
      unsigned x = m.index == HostMem::kNone ? 4 : m.index & 7;
      u8(static_cast<unsigned>(m.scale) << 6 | x << 3 | b);
    }
    if (mod == 1)
      u8(static_cast<uint8_t>(m.disp));
    else if (mod == 2 || m.base == HostMem::kNone)
      u32(static_cast<uint32_t>(m.disp));
  }
  void rex(bool w, unsigned reg, const HostMem& m, bool force = false) {
    unsigned v = 0x40 | (w ? 8u : 0) | ((reg & 8) != 0 ? 4u : 0) |
                 (m.index != HostMem::kNone && (m.index & 8) != 0 ? 2u : 0) |
                 (m.base != HostMem::kNone && (m.base & 8) != 0 ? 1u : 0);
    if (v != 0x40 || force) u8(v);
  }
  // [gs] [rex] opcode modrm
  void op_rm(unsigned opcode, unsigned reg, const HostMem& m, bool w = true) {
    if (m.ctx) u8(0x65);
    rex(w, reg, m);
    opcode_bytes(opcode);
    modrm(reg, m);
  }
  void op_rr(unsigned opcode, unsigned reg, unsigned rm, bool w = true) {
    unsigned v = 0x40 | (w ? 8u : 0) | ((reg & 8) != 0 ? 4u : 0) | ((rm & 8) != 0 ? 1u : 0);
    if (v != 0x40) u8(v);
    opcode_bytes(opcode);
    u8(0xc0 | (reg & 7) << 3 | (rm & 7));
  }

  void mov(Host to, Host from) { op_rr(0x89, from, to); }
  void mov32(Host to, Host from) { op_rr(0x89, from, to, false); }
  void load(Host to, const HostMem& m) { op_rm(0x8b, to, m); }
  void load32(Host to, const HostMem& m) { op_rm(0x8b, to, m, false); }
  void load16z(Host to, const HostMem& m) { op_rm(0x0fb7, to, m, false); }
  void store(const HostMem& m, Host from) { op_rm(0x89, from, m); }
  void store32(const HostMem& m, Host from) { op_rm(0x89, from, m, false); }
  void store16(const HostMem& m, Host from) {
    u8(0x66);
    op_rm(0x89, from, m, false);
  }
  void store_imm32(const HostMem& m, uint32_t v) {
    op_rm(0xc7, 0, m, false);
    u32(v);
  }
  void lea(Host to, const HostMem& m) { op_rm(0x8d, to, m); }
  void lea32(Host to, const HostMem& m) { op_rm(0x8d, to, m, false); }
  void add(Host to, const HostMem& m) { op_rm(0x03, to, m); }
  void sub(Host to, const HostMem& m) { op_rm(0x2b, to, m); }
  void add_rr(Host to, Host from) { op_rr(0x01, from, to); }
  void sub_rr(Host to, Host from) { op_rr(0x29, from, to); }
  void cmp_rr(Host a, Host b) { op_rr(0x39, b, a); }
  void neg(Host a) { op_rr(0xf7, 3, a); }
  // to = the low half of `from`, rotated right; BMI2, keeps flags.
  void rorx32(Host to, Host from, unsigned n) {
    u8(0xc4);
    u8(((to & 8) == 0 ? 0x80u : 0) | 0x40 | ((from & 8) == 0 ? 0x20u : 0) | 3);
    u8(0x7b);
    u8(0xf0);
    u8(0xc0u | (to & 7u) << 3 | (from & 7u));
    u8(n);
  }
  void shr32(Host a, unsigned n) {
    op_rr(0xc1, 5, a, false);
    u8(n);
  }
  void cmp(Host a, const HostMem& m) { op_rm(0x3b, a, m); }
  void cmp_imm(Host a, int32_t v) {
    if (v >= -128 && v <= 127) {
      op_rr(0x83, 7, a);
      u8(static_cast<uint8_t>(v));
    } else {
      op_rr(0x81, 7, a);
      u32(static_cast<uint32_t>(v));
    }
  }
  void cmp32_mem_imm8(const HostMem& m, int8_t v) {
    op_rm(0x83, 7, m, false);
    u8(static_cast<uint8_t>(v));
  }
  void and32_imm(Host a, uint32_t v) {
    op_rr(0x81, 4, a, false);
    u32(v);
  }
  void shl32(Host a, unsigned n) {
    op_rr(0xc1, 4, a, false);
    u8(n);
  }
  void crc32(Host sum, Host data) {  // 64 bits; no flags
    u8(0xf2);
    op_rr(0x0f38f1, sum, data);
  }
  void movzx16(Host to, Host from) { op_rr(0x0fb7, to, from, false); }
  void mov_imm32(Host to, uint32_t v) {  // zero-extends
    if ((to & 8) != 0) u8(0x41);
    u8(0xb8 | (to & 7));
    u32(v);
  }
  void mov_imm64(Host to, uint64_t v) {
    u8(0x48 | ((to & 8) != 0 ? 1u : 0));
    u8(0xb8 | (to & 7));
    u64(v);
  }
  void mov_imm_sx(Host to, int32_t v) {  // sign-extends
    op_rr(0xc7, 0, to);
    u32(static_cast<uint32_t>(v));
  }

  // Relative jumps; the target is an address in the same (writable) view.
  void jmp(const uint8_t* target) {
    u8(0xe9);
    rel32(target);
  }
  void call(const uint8_t* target) {
    u8(0xe8);
    rel32(target);
  }
  void jcc(Cond c, const uint8_t* target) {
    u8(0x0f);
    u8(0x80u | c);
    rel32(target);
  }
  // One instruction of 1..8 bytes without effect (SDM vol. 2, NOP).
  void nop(unsigned n) {
    static constexpr uint8_t kNop[8][8] = {{0x90},
                                           {0x66, 0x90},
                                           {0x0f, 0x1f, 0x00},
                                           {0x0f, 0x1f, 0x40, 0x00},
                                           {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                           {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                           {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
                                           {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
    this->bytes(kNop[n - 1], n);
  }
  // Nops until `bytes` bytes at `ahead` from here can be replaced by one write.
  void keep_together(unsigned ahead, unsigned bytes) {
    uintptr_t at = reinterpret_cast<uintptr_t>(p_ + ahead) & 7;
    if (at + bytes > 8) nop(static_cast<unsigned>(8 - at));
  }
  // With the target to come: returns the place of the rel32.
  uint8_t* jmp_later() {
    u8(0xe9);
    u32(0);
    return p_ - 4;
  }
  uint8_t* call_later() {
    u8(0xe8);
    u32(0);
    return p_ - 4;
  }
  uint8_t* jcc_later(Cond c) {
    u8(0x0f);
    u8(0x80u | c);
    u32(0);
    return p_ - 4;
  }
  uint8_t* jmp_short_later() {
    u8(0xeb);
    u8(0);
    return p_ - 1;
  }
  uint8_t* jcc_short_later(Cond c) {
    u8(0x70u | c);
    u8(0);
    return p_ - 1;
  }
  static void bind(uint8_t* rel32_at, const uint8_t* target) {
    auto d = static_cast<int32_t>(target - (rel32_at + 4));
    std::memcpy(rel32_at, &d, 4);
  }
  void bind_short(uint8_t* rel8_at) { *rel8_at = static_cast<uint8_t>(p_ - (rel8_at + 1)); }
  void jmp_mem(const HostMem& m) { op_rm(0xff, 4, m, false); }
  void jmp_reg(Host r) { op_rr(0xff, 4, r, false); }
  void call_reg(Host r) { op_rr(0xff, 2, r, false); }
  void push(Host r) {
    if ((r & 8) != 0) u8(0x41);
    u8(0x50u | (r & 7));
  }
  void pop(Host r) {
    if ((r & 8) != 0) u8(0x41);
    u8(0x58u | (r & 7));
  }
  void ret() { u8(0xc3); }
  void align(unsigned n, uint8_t fill = 0xcc) {
    while ((reinterpret_cast<uintptr_t>(p_) & (n - 1)) != 0) u8(fill);
  }

 private:
  template <class T>
  void put(T v) {
    std::memcpy(p_, &v, sizeof v);
    p_ += sizeof v;
  }
  void rel32(const uint8_t* target) {
    auto d = static_cast<int32_t>(target - (p_ + 4));
    put(d);
  }
  void opcode_bytes(unsigned opcode) {
    if (opcode > 0xffff) u8(opcode >> 16);
    if (opcode > 0xff) u8(opcode >> 8 & 0xff);
    u8(opcode & 0xff);
  }

  uint8_t* p_;
};

}  // namespace rhea::dbt
