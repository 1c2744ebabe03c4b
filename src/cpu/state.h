// x86 architectural state: the only thing that snapshots, the monitor, gdb and both engines agree on.
//
// Plain data with a fixed layout: translated code addresses these fields directly. Times, pending work and
// caches are elsewhere. Terms: Intel SDM vol. 3A chapter 2.
#pragma once

#include <cstdint>

namespace rhea::cpu {

enum Reg : uint8_t { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum SegIndex : uint8_t { ES, CS, SS, DS, FS, GS, LDTR, TR, kSegCount };

// Segment attributes in the form of a descriptor's bits 40-55 (SDM vol. 3C 25.4.1, "access rights").
namespace attr {
inline constexpr uint32_t kTypeMask = 0xf, kAccessed = 1, kWritable = 2, kReadable = 2, kExpandDown = 4,
                          kConforming = 4, kCode = 8, kS = 1 << 4, kDplShift = 5, kPresent = 1 << 7,
                          kAvl = 1 << 12, kLong = 1 << 13, kBig = 1 << 14, kGranular = 1 << 15,
                          kUnusable = 1 << 16;
}

struct Segment {
  uint64_t base;
  uint32_t limit;  // in bytes, granularity already applied
  uint32_t attr;   // attr::*
  uint16_t selector;
  uint16_t pad[3];
  unsigned dpl() const { return (attr >> attr::kDplShift) & 3; }
  bool usable() const { return (attr & attr::kUnusable) == 0; }
};

struct TableRegister {
  uint64_t base;
  uint32_t limit;
  uint32_t pad;
};

namespace rflags {
inline constexpr uint64_t CF = 1, Fixed1 = 2, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, TF = 0x100, IF = 0x200,
                          DF = 0x400, OF = 0x800, IOPL = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000,
                          AC = 0x40000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000;
inline constexpr uint64_t kStatus = CF | PF | AF | ZF | SF | OF;
// What lives in CpuState::system_flags.
inline constexpr uint64_t kSystem = TF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;
}  // namespace rflags

namespace cr0 {
inline constexpr uint64_t PE = 1, MP = 2, EM = 4, TS = 8, ET = 16, NE = 32, WP = 1 << 16, AM = 1 << 18,
                          NW = 1 << 29, CD = 1 << 30, PG = 1u << 31;
}
namespace cr4 {
inline constexpr uint64_t VME = 1, PVI = 2, TSD = 4, DE = 8, PSE = 16, PAE = 32, MCE = 64, PGE = 128,
                          PCE = 256, OSFXSR = 1 << 9, OSXMMEXCPT = 1 << 10, UMIP = 1 << 11, LA57 = 1 << 12,
                          VMXE = 1 << 13, SMXE = 1 << 14, FSGSBASE = 1 << 16, PCIDE = 1 << 17,
                          OSXSAVE = 1 << 18, SMEP = 1 << 20, SMAP = 1 << 21, PKE = 1 << 22, CET = 1 << 23;
}
namespace efer {
inline constexpr uint64_t SCE = 1, LME = 1 << 8, LMA = 1 << 10, NXE = 1 << 11, SVME = 1 << 12,
                          FFXSR = 1 << 14;
}

inline constexpr unsigned kXsaveBytes =
    4096;  // standard-format XSAVE image; PKRU is kept in CpuState::pkru instead

struct Mtrr {
  uint64_t def_type;
  uint64_t fixed[11];
  struct {
    uint64_t base, mask;
  } variable[8];
};

struct alignas(64) CpuState {
  uint64_t gpr[16];
  uint64_t rip;

  // RFLAGS, split by who needs it how. Use rflags()/set_rflags() outside translated code.
  uint16_t status_flags;   // as LAHF + SETO leave them in AX: AH = SF ZF 0 AF 0 PF 1 CF, AL = OF (0 or 1)
  uint8_t interrupt_flag;  // IF, 0 or 1
  uint8_t direction_flag;  // DF, 0 or 1
  uint32_t system_flags;   // rflags::kSystem bits

  Segment seg[kSegCount];
  TableRegister gdtr, idtr;
  uint64_t cr0, cr2, cr3, cr4, xcr0;
  uint64_t dr[8];  // 4 and 5 unused
  uint64_t efer;
  uint32_t pkru;

  uint8_t cpl;
  uint8_t halted;  // HLT or waiting for SIPI
  uint8_t wait_for_sipi;
  uint8_t nmi_blocked;       // until IRET
  uint8_t interrupt_shadow;  // the instruction after STI, MOV SS or POP SS
  uint8_t shadow_is_mov_ss;  // the shadow also holds back #DB and NMI
  uint8_t in_smm;
  uint8_t a20_masked;  // 1: address bit 20 reads as 0
  uint8_t pad0[4];
  uint32_t smbase;

  // MSRs (SDM vol. 4)
  uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
  uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
  uint64_t pat, apic_base, tsc_aux, tsc_adjust, misc_enable, mcg_status, spec_ctrl, bios_sign_id;
  int64_t tsc_offset;  // guest TSC = host TSC + offset
  uint64_t debugctl, feature_control, xss, arch_capabilities, mcg_cap, mcg_ctl, virt_ssbd;
  uint64_t mc_banks[10][4];
  Mtrr mtrr;

  alignas(64) uint8_t xsave[kXsaveBytes];

  uint64_t
      pdpte[4];  // PAE paging outside long mode: the PDPTE registers (SDM vol. 3A 4.4.1), see load_pdptes()

  uint64_t rflags() const {
    uint64_t ah = status_flags >> 8;
    uint64_t status = (ah & (rflags::SF | rflags::ZF | rflags::AF | rflags::PF | rflags::CF)) |
                      ((status_flags & 1) != 0 ? rflags::OF : 0);
    return status | rflags::Fixed1 | (interrupt_flag != 0 ? rflags::IF : 0) |
           (direction_flag != 0 ? rflags::DF : 0) | system_flags;
  }
  void set_rflags(uint64_t v) {
    status_flags = static_cast<uint16_t>(
        ((v & (rflags::SF | rflags::ZF | rflags::AF | rflags::PF | rflags::CF)) | rflags::Fixed1) << 8 |
        ((v & rflags::OF) != 0 ? 1 : 0));
    interrupt_flag = (v & rflags::IF) != 0;
    direction_flag = (v & rflags::DF) != 0;
    system_flags = static_cast<uint32_t>(v & rflags::kSystem);
  }
  bool protected_mode() const { return (cr0 & cr0::PE) != 0; }
  bool vm86() const { return (system_flags & rflags::VM) != 0; }
  bool long_mode() const { return (efer & efer::LMA) != 0; }
  bool code64() const { return long_mode() && (seg[CS].attr & attr::kLong) != 0; }
  unsigned iopl() const { return (system_flags >> 12) & 3; }
};

}  // namespace rhea::cpu
