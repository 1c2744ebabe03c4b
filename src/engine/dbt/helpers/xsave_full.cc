// XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS. SDM vol. 1 chapter 13. PKRU lives in CpuState::pkru; no
// supervisor components are offered, so that XSAVES is XSAVEC at CPL 0. XSAVEOPT leaves out components in
// their initial configuration and never uses the "modified" optimisation.
#include "engine/dbt/helpers/fpu_image.h"

namespace rhea::dbt::helpers {

namespace {

using namespace xstate;

constexpr uint64_t kCompacted = uint64_t{1} << 63;
constexpr uint32_t kMxcsrInit = 0x1f80;

uint64_t requested(const Core& c) {
  uint64_t mask = (c.s.gpr[cpu::RDX] << 32) | (c.s.gpr[cpu::RAX] & 0xffffffff);
  return mask & c.s.xcr0;
}

bool checks(Core& c, const Insn& insn) {
  if ((c.s.cr4 & cpu::cr4::OSXSAVE) == 0) return c.raise(vec::UD);
  return require_fpu(c, false) && require_alignment(c, insn, 64);
}

uint64_t in_use(const Core& c, const FpuImage& image) {
  uint64_t bits = image.in_use() & ~kPkruBit;
  // MXCSR alone does not make the SSE component used.
  return bits | (c.s.pkru != 0 ? kPkruBit : 0);
}

// Where the guest's image has component i: standard offsets come from its CPUID, compacted ones add up.
uint64_t guest_offset(const Core& c, unsigned index, bool compacted, uint64_t components) {
  if (!compacted) return cpu::query_cpuid(c, 0xd, index).ebx;
  uint64_t at = kExtended;
  for (unsigned i = 2; i <= index; ++i) {
    if ((components >> i & 1) == 0) continue;
    cpu::CpuidRegs r = cpu::query_cpuid(c, 0xd, i);
    if ((r.ecx & 2) != 0) at = (at + 63) & ~uint64_t{63};
    if (i < index) at += r.eax;
  }
  return at;
}

// Outside 64-bit mode registers 8-15 (and 16-31) are neither saved nor restored.
unsigned moved_bytes(const Core& c, unsigned index) {
  unsigned size = host_component(index).size;
  if (c.s.code64()) return size;
  switch (index) {
    case kSse: return 128;
    case kAvx: return 128;
    case kZmmHi256: return 256;
    case kHi16Zmm: return 0;
    default: return size;
  }
}

struct Plan {
  uint64_t components;  // to be written
  uint64_t layout;      // that have a place (compacted)
  bool compacted;
  bool mxcsr;
};

// Calls move(offset in guest image, bytes in ours, size) for each component beyond the legacy area.
template <class Move>
bool for_extended(Core& c, const Plan& plan, Move move) {
  for (unsigned i = 2; i < kCount; ++i) {
    if ((plan.components >> i & 1) == 0) continue;
    uint64_t at = guest_offset(c, i, plan.compacted, plan.layout);
    bool ok = true;
    if (i == kPkru) {
      ok = move(at, reinterpret_cast<uint8_t*>(&c.s.pkru), 4u, i);
    } else if (unsigned size = moved_bytes(c, i); size != 0) {
      ok = move(at, c.s.xsave + host_component(i).offset, size, i);
    }
    if (!ok) return false;
  }
  return true;
}

bool probe_plan(Core& c, const Insn& insn, const Plan& plan) {
  return probe_block(c, insn, 0, kExtended) &&
         for_extended(c, plan, [&](uint64_t at, uint8_t*, unsigned size, unsigned) {
           return probe_block(c, insn, at, size);
         });
}

bool write_legacy(Core& c, const Insn& insn, const Plan& plan, FpuImage& image) {
  if ((plan.components & kX87Bit) != 0) {
    uint8_t head[kMxcsr];
    std::memcpy(head, image.at(0), sizeof head);
    X87Pointers p = guest_pointers(c, image);
    std::memcpy(head + 6, &p.fop, 2);
    std::memcpy(head + 8, &p.fip, 8);
    std::memcpy(head + 16, &p.fdp, 8);
    if (insn.rex_w == 0) {
      uint32_t fcs = p.fcs, fds = p.fds;
      std::memcpy(head + 12, &fcs, 4);
      std::memcpy(head + 20, &fds, 4);
    }
    if (!write_block(c, insn, 0, head, sizeof head)) return false;
    if (!write_block(c, insn, kSt, image.at(kSt), kXmm - kSt)) return false;
  }
  if (plan.mxcsr) {
    uint32_t words[2] = {image.mxcsr(), image.mxcsr_mask()};
    if (!write_block(c, insn, kMxcsr, words, 8)) return false;
  }
  if ((plan.components & kSseBit) == 0) return true;
  return write_block(c, insn, kXmm, image.at(kXmm), moved_bytes(c, kSse));
}

bool save(Core& c, const Insn& insn, const Plan& plan, const uint64_t* header, unsigned header_bytes) {
  FpuImage image(c);
  image.materialise();
  if (!probe_plan(c, insn, plan) || !write_legacy(c, insn, plan, image)) return false;
  if (!for_extended(c, plan, [&](uint64_t at, const uint8_t* from, unsigned size, unsigned) {
        return write_block(c, insn, at, from, size);
      })) {
    return false;
  }
  return write_block(c, insn, kHeader, header, header_bytes);
}

Outcome save_compacted(Core& c, const Insn& insn) {
  if (!checks(c, insn)) return Outcome::Fault;
  FpuImage image(c);
  uint64_t wanted = requested(c), used = in_use(c, image) & wanted;
  bool mxcsr = (wanted & kSseBit) != 0 && image.mxcsr() != kMxcsrInit;
  if (mxcsr) used |= kSseBit;
  Plan plan{.components = used, .layout = wanted, .compacted = true, .mxcsr = (used & kSseBit) != 0};
  uint64_t header[2] = {used, wanted | kCompacted};
  return done(save(c, insn, plan, header, 16));
}

}  // namespace

// XSAVE and XSAVEOPT (0F AE /4, /6).
Outcome xsave(Core& c, const Insn& insn) {
  if (!checks(c, insn)) return Outcome::Fault;
  FpuImage image(c);
  bool optimised = (insn.modrm >> 3 & 7) == 6;
  uint64_t wanted = requested(c), used = in_use(c, image), old;
  if (!read_block(c, insn, kHeader, &old, 8)) return Outcome::Fault;
  Plan plan{.components = optimised ? wanted & used : wanted,
            .layout = 0,
            .compacted = false,
            .mxcsr = (wanted & (kSseBit | kAvxBit)) != 0};
  uint64_t header = (old & ~wanted) | (used & wanted);
  return done(save(c, insn, plan, &header, 8));
}

Outcome xsavec(Core& c, const Insn& insn) {
  return save_compacted(c, insn);
}

Outcome xsaves(Core& c, const Insn& insn) {
  if ((c.s.cr4 & cpu::cr4::OSXSAVE) == 0) return done(c.raise(vec::UD));
  if (!require_cpl0(c)) return Outcome::Fault;
  return save_compacted(c, insn);
}

namespace {

struct Header {
  uint64_t used, layout, reserved[6];
};

bool header_is_valid(const Core& c, const Header& h, bool& compacted) {
  compacted = (h.layout & kCompacted) != 0;
  uint64_t reserved = 0;
  for (unsigned i = 0; i < 6; ++i) {
    if (compacted || i == 0) reserved |= h.reserved[i];
  }
  if (reserved != 0 || (h.used & ~c.s.xcr0) != 0) return false;
  if (!compacted) return h.layout == 0;
  return (h.layout & ~kCompacted & ~c.s.xcr0) == 0 && (h.used & ~h.layout) == 0 &&
         (cpu::query_cpuid(c, 0xd, 1).eax & 2) != 0;
}

// The x87 part of the legacy area.
void load_x87(const Insn& insn, FpuImage& image, uint8_t* area) {
  if (insn.rex_w == 0) {
    std::memset(area + 12, 0, 4);
    std::memset(area + 20, 0, 4);
  }
  std::memcpy(image.at(0), area, kMxcsr);
  std::memcpy(image.at(kSt), area + kSt, kXmm - kSt);
}

void initialise(Core& c, FpuImage& image, unsigned index) {
  if (index == kX87) {
    std::memset(image.at(0), 0, kMxcsr);
    std::memset(image.at(kSt), 0, kXmm - kSt);
    image.set<uint16_t>(0, 0x37f);
  } else if (index == kPkru) {
    c.s.pkru = 0;
  } else {
    std::memset(image.at(host_component(index).offset), 0, moved_bytes(c, index));
  }
}

// Everything is read and checked before anything is changed.
bool restore(Core& c, const Insn& insn, bool must_be_compacted) {
  struct Area {
    alignas(64) uint8_t legacy[kHeader];
    Header header;
    uint8_t extended[cpu::kXsaveBytes];
  } area;
  FpuImage image(c);
  bool compacted;
  uint64_t wanted = requested(c);
  if (!read_block(c, insn, 0, area.legacy, kExtended)) return false;
  if (!header_is_valid(c, area.header, compacted)) return c.raise(vec::GP, 0);
  if (must_be_compacted && !compacted) return c.raise(vec::GP, 0);
  uint64_t loaded = wanted & area.header.used;
  bool takes_mxcsr = compacted ? (loaded & kSseBit) != 0 : (wanted & (kSseBit | kAvxBit)) != 0;
  uint32_t mxcsr;
  std::memcpy(&mxcsr, area.legacy + kMxcsr, 4);
  if (takes_mxcsr && (mxcsr & ~image.mxcsr_mask()) != 0) return c.raise(vec::GP, 0);
  Plan plan{.components = loaded, .layout = area.header.layout, .compacted = compacted, .mxcsr = takes_mxcsr};
  uint32_t pkru = c.s.pkru;
  if (!for_extended(c, plan, [&](uint64_t at, uint8_t*, unsigned size, unsigned index) {
        uint8_t* to =
            index == kPkru ? reinterpret_cast<uint8_t*>(&pkru) : area.extended + host_component(index).offset;
        return read_block(c, insn, at, to, size);
      })) {
    return false;
  }
  image.materialise();
  for (unsigned i = 0; i < kCount; ++i) {
    if ((wanted >> i & 1) == 0) continue;
    bool load = (loaded >> i & 1) != 0;
    if (!load) {
      initialise(c, image, i);
    } else if (i == kX87) {
      load_x87(insn, image, area.legacy);
    } else if (i == kSse) {
      std::memcpy(image.at(kXmm), area.legacy + kXmm, moved_bytes(c, kSse));
    } else if (i != kPkru) {
      unsigned offset = host_component(i).offset;
      std::memcpy(image.at(offset), area.extended + offset, moved_bytes(c, i));
    }
    bool keeps_upper = !c.s.code64() && i != kX87 && (image.in_use() >> i & 1) != 0;
    image.mark(uint64_t{1} << i, i != kPkru && (load || keeps_upper));
  }
  if (takes_mxcsr) {
    image.set<uint32_t>(kMxcsr, mxcsr);
  } else if (compacted && (wanted & kSseBit) != 0) {
    image.set<uint32_t>(kMxcsr, kMxcsrInit);
  }
  if ((loaded & kPkruBit) == 0) pkru = c.s.pkru;
  bool keys_changed = (wanted & kPkruBit) != 0;
  c.s.pkru = pkru;
  if (keys_changed) c.hooks->flush_tlb(c, true);
  return true;
}

}  // namespace

Outcome xrstor(Core& c, const Insn& insn) {
  return done(checks(c, insn) && restore(c, insn, false));
}

Outcome xrstors(Core& c, const Insn& insn) {
  if ((c.s.cr4 & cpu::cr4::OSXSAVE) == 0) return done(c.raise(vec::UD));
  if (!require_cpl0(c)) return Outcome::Fault;
  return done(checks(c, insn) && restore(c, insn, true));
}

}  // namespace rhea::dbt::helpers
