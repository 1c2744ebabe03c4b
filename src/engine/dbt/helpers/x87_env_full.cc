// FNSTENV, FLDENV, FNSAVE, FRSTOR, FXSAVE, FXRSTOR. SDM vol. 1 8.1.10 (formats), 10.5.1; vol. 2 per
// instruction. The saved instruction pointer is the guest's; the operand pointer is kept only while no x87
// instruction has run since the guest loaded it (otherwise 0: the host's one is an address of the host).
#include "engine/dbt/helpers/fpu_image.h"

namespace rhea::dbt::helpers {

namespace {

constexpr uint16_t kExceptions = 0x3f, kSummary = 0x8080;

unsigned environment_bytes(const Insn& insn) {
  return insn.op_bytes == 2 ? 14 : 28;
}

bool real_format(const Core& c) {
  return !c.s.protected_mode() || c.s.vm86();
}

// Two bits for each physical register from the one bit that FXSAVE keeps and the contents.
uint16_t full_tag_word(const FpuImage& image) {
  unsigned abridged = image.get<uint8_t>(4), top = image.get<uint16_t>(2) >> 11 & 7, tags = 0;
  for (unsigned reg = 0; reg < 8; ++reg) {
    unsigned tag = 3;
    if ((abridged >> reg & 1) != 0) {
      unsigned at = xstate::kSt + 16 * ((reg - top) & 7);
      auto mantissa = image.get<uint64_t>(at);
      unsigned exponent = image.get<uint16_t>(at + 8) & 0x7fff;
      bool normal = exponent != 0 && exponent != 0x7fff && mantissa >> 63 != 0;
      tag = normal ? 0 : exponent == 0 && mantissa == 0 ? 1 : 2;
    }
    tags |= tag << (2 * reg);
  }
  return static_cast<uint16_t>(tags);
}

uint8_t abridged_tags(uint16_t full) {
  unsigned abridged = 0;
  for (unsigned reg = 0; reg < 8; ++reg) abridged |= ((full >> (2 * reg) & 3) != 3 ? 1u : 0u) << reg;
  return static_cast<uint8_t>(abridged);
}

void make_environment(Core& c, const Insn& insn, const FpuImage& image, uint8_t* env) {
  X87Pointers p = guest_pointers(c, image);
  uint32_t fields[7] = {image.get<uint16_t>(0), image.get<uint16_t>(2), full_tag_word(image), 0, 0, 0, 0};
  auto fip = static_cast<uint32_t>(p.fip), fdp = static_cast<uint32_t>(p.fdp);
  bool wide = insn.op_bytes != 2;
  if (real_format(c)) {
    fields[3] = fip & 0xffff;
    fields[4] = (wide ? (fip >> 16) << 12 : (fip >> 16 & 0xf) << 12) | p.fop;
    fields[5] = fdp & 0xffff;
    fields[6] = wide ? (fdp >> 16) << 12 : (fdp >> 16 & 0xf) << 12;
  } else {
    fields[3] = fip;
    fields[4] = p.fcs | (wide ? uint32_t{p.fop} << 16 : 0);
    fields[5] = fdp;
    fields[6] = p.fds | 0xffff0000;
  }
  for (unsigned i = 0; i < 7; ++i) {
    if (wide) {
      uint32_t value = fields[i] | (i < 3 || (real_format(c) && (i == 3 || i == 5)) ? 0xffff0000 : 0);
      std::memcpy(env + 4 * i, &value, 4);
    } else {
      std::memcpy(env + 2 * i, &fields[i], 2);
    }
  }
}

// ES and B follow from the exceptions and their masks.
void set_status(FpuImage& image, uint16_t control, uint16_t status) {
  status = static_cast<uint16_t>(status & ~kSummary);
  if ((status & ~control & kExceptions) != 0) status |= kSummary;
  image.set<uint16_t>(0, static_cast<uint16_t>((control & 0x1f7f) | 0x40));
  image.set<uint16_t>(2, status);
}

void load_environment(Core& c, const Insn& insn, FpuImage& image, const uint8_t* env) {
  uint32_t fields[7] = {};
  bool wide = insn.op_bytes != 2;
  for (unsigned i = 0; i < 7; ++i) std::memcpy(&fields[i], env + (wide ? 4 : 2) * i, wide ? 4 : 2);
  image.set_top(fields[1] >> 11 & 7);
  set_status(image, static_cast<uint16_t>(fields[0]), static_cast<uint16_t>(fields[1]));
  image.set<uint8_t>(4, abridged_tags(static_cast<uint16_t>(fields[2])));
  uint64_t fip = fields[3], fdp = fields[5];
  uint32_t fop = 0;
  if (real_format(c)) {
    fip = (fip & 0xffff) | (wide ? (fields[4] >> 12 & 0xffff) << 16 : (fields[4] >> 12 & 0xf) << 16);
    fdp = (fdp & 0xffff) | (wide ? (fields[6] >> 12 & 0xffff) << 16 : (fields[6] >> 12 & 0xf) << 16);
    fop = fields[4] & 0x7ff;
  } else if (wide) {
    fop = fields[4] >> 16 & 0x7ff;
  }
  image.set<uint16_t>(6, static_cast<uint16_t>(fop));
  image.set<uint64_t>(8, fip);
  image.set<uint64_t>(16, fdp);
  image.mark(xstate::kX87Bit, true);
}

}  // namespace

Outcome fnstenv(Core& c, const Insn& insn) {
  FpuImage image(c);
  image.materialise();
  uint8_t env[28];
  make_environment(c, insn, image, env);
  if (!write_block(c, insn, 0, env, environment_bytes(insn))) return Outcome::Fault;
  set_status(image, static_cast<uint16_t>(image.get<uint16_t>(0) | kExceptions), image.get<uint16_t>(2));
  image.mark(xstate::kX87Bit, true);
  return Outcome::Continue;
}

Outcome fldenv(Core& c, const Insn& insn) {
  FpuImage image(c);
  if (image.exception_pending()) return done(c.raise(vec::MF));
  image.materialise();
  uint8_t env[28];
  if (!read_block(c, insn, 0, env, environment_bytes(insn))) return Outcome::Fault;
  load_environment(c, insn, image, env);
  return Outcome::Continue;
}

Outcome fnsave(Core& c, const Insn& insn) {
  FpuImage image(c);
  image.materialise();
  uint8_t area[28 + 80];
  unsigned head = environment_bytes(insn);
  make_environment(c, insn, image, area);
  for (unsigned i = 0; i < 8; ++i) std::memcpy(area + head + 10 * i, image.at(xstate::kSt + 16 * i), 10);
  if (!write_block(c, insn, 0, area, head + 80)) return Outcome::Fault;
  image.set_top(0);  // FNINIT leaves the registers' contents
  std::memset(image.at(0), 0, xstate::kMxcsr);
  image.set<uint16_t>(0, 0x37f);
  image.mark(xstate::kX87Bit, true);
  return Outcome::Continue;
}

Outcome frstor(Core& c, const Insn& insn) {
  FpuImage image(c);
  if (image.exception_pending()) return done(c.raise(vec::MF));
  image.materialise();
  uint8_t area[28 + 80];
  unsigned head = environment_bytes(insn);
  if (!read_block(c, insn, 0, area, head + 80)) return Outcome::Fault;
  load_environment(c, insn, image, area);
  for (unsigned i = 0; i < 8; ++i) {
    std::memset(image.at(xstate::kSt + 16 * i), 0, 16);
    std::memcpy(image.at(xstate::kSt + 16 * i), area + head + 10 * i, 10);
  }
  return Outcome::Continue;
}

namespace {

constexpr unsigned kFxsaveWritten = 416;

bool fxsave_checks(Core& c, const Insn& insn) {
  if ((c.s.cr0 & cpu::cr0::EM) != 0) return c.raise(vec::NM);
  return require_fpu(c, true) && require_alignment(c, insn, 16);
}

// EFER.FFXSR leaves the XMM registers out at CPL 0 in 64-bit mode (APM vol. 2, 11.4.4).
bool moves_xmm(const Core& c) {
  return (c.s.efer & cpu::efer::FFXSR) == 0 || c.s.cpl != 0 || !c.s.code64();
}

unsigned xmm_bytes(const Core& c) {
  return c.s.code64() ? 256 : 128;
}

void put_pointers(uint8_t* area, const X87Pointers& p, bool wide) {
  if (wide) {
    std::memcpy(area + 8, &p.fip, 8);
    std::memcpy(area + 16, &p.fdp, 8);
  } else {
    auto fip = static_cast<uint32_t>(p.fip), fdp = static_cast<uint32_t>(p.fdp), fcs = uint32_t{p.fcs},
         fds = uint32_t{p.fds};
    std::memcpy(area + 8, &fip, 4);
    std::memcpy(area + 12, &fcs, 4);
    std::memcpy(area + 16, &fdp, 4);
    std::memcpy(area + 20, &fds, 4);
  }
  std::memcpy(area + 6, &p.fop, 2);
}

}  // namespace

Outcome fxsave(Core& c, const Insn& insn) {
  if (!fxsave_checks(c, insn)) return Outcome::Fault;
  FpuImage image(c);
  image.materialise();
  uint8_t area[kFxsaveWritten];
  std::memcpy(area, image.at(0), sizeof area);
  put_pointers(area, guest_pointers(c, image), insn.rex_w != 0);
  uint32_t mask = image.mxcsr_mask();
  std::memcpy(area + 28, &mask, 4);
  unsigned size = moves_xmm(c) ? xstate::kXmm + xmm_bytes(c) : xstate::kXmm;
  return done(probe_block(c, insn, 0, 512) && write_block(c, insn, 0, area, size));
}

Outcome fxrstor(Core& c, const Insn& insn) {
  if (!fxsave_checks(c, insn)) return Outcome::Fault;
  FpuImage image(c);
  uint8_t area[512];
  if (!read_block(c, insn, 0, area, sizeof area)) return Outcome::Fault;
  uint32_t mxcsr;
  std::memcpy(&mxcsr, area + xstate::kMxcsr, 4);
  if ((mxcsr & ~image.mxcsr_mask()) != 0) return done(c.raise(vec::GP, 0));
  image.materialise();
  if (insn.rex_w == 0) {
    std::memset(area + 12, 0, 4);  // FCS and FDS are not kept
    std::memset(area + 20, 0, 4);
  }
  std::memcpy(image.at(0), area, xstate::kXmm);
  if (moves_xmm(c)) std::memcpy(image.at(xstate::kXmm), area + xstate::kXmm, xmm_bytes(c));
  uint16_t control = image.get<uint16_t>(0);
  set_status(image, control, image.get<uint16_t>(2));
  image.mark(xstate::kX87Bit | xstate::kSseBit, true);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
