#include "engine/kvm/kvm_state.h"

#include <cpuid.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace rhea::kvm {

using namespace cpu;

namespace {

enum Call : unsigned { kRegs, kSregs, kXsave, kXcrs, kDebug, kMsrs, kEvents };

constexpr uint32_t kMsrTsc = 0x10;
constexpr unsigned kXstateBv = 512;  // offset of XSTATE_BV in an XSAVE image, SDM vol. 1 13.4.2
constexpr unsigned kPkruComponent = 9;

// Every MSR that is plain state (SDM vol. 4). EFER and the APIC base travel with the system registers.
template <class F>
void for_each_msr(CpuState& s, F f) {
  f(0xc0000081u, s.star);
  f(0xc0000082u, s.lstar);
  f(0xc0000083u, s.cstar);
  f(0xc0000084u, s.sfmask);
  f(0xc0000102u, s.kernel_gs_base);
  f(0xc0000103u, s.tsc_aux);
  f(0x174u, s.sysenter_cs);
  f(0x175u, s.sysenter_esp);
  f(0x176u, s.sysenter_eip);
  f(0x277u, s.pat);
  f(0x1a0u, s.misc_enable);
  f(0x48u, s.spec_ctrl);
  f(0x8bu, s.bios_sign_id);
  f(0x3au, s.feature_control);
  f(0xda0u, s.xss);
  f(0x17au, s.mcg_status);
  f(0x3bu, s.tsc_adjust);
  f(0x2ffu, s.mtrr.def_type);
  constexpr uint32_t fixed[11] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                  0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
  for (unsigned i = 0; i < 11; ++i) f(fixed[i], s.mtrr.fixed[i]);
  for (uint32_t i = 0; i < 8; ++i) {
    f(0x200u + 2 * i, s.mtrr.variable[i].base);
    f(0x201u + 2 * i, s.mtrr.variable[i].mask);
  }
}

struct MsrBuffer {
  explicit MsrBuffer(size_t count) : bytes(sizeof(kvm_msrs) + count * sizeof(kvm_msr_entry)) {}
  // SAFETY: the buffer holds the header and `count` entries; both are plain data.
  kvm_msrs* header() { return reinterpret_cast<kvm_msrs*>(bytes.data()); }
  std::vector<uint8_t> bytes;
};

Segment from_kvm(const kvm_segment& k) {
  Segment s{};
  s.base = k.base;
  s.limit = k.limit;
  s.selector = k.selector;
  s.attr = static_cast<uint32_t>(k.type) | (k.s != 0 ? attr::kS : 0u) |
           (static_cast<uint32_t>(k.dpl) << attr::kDplShift) | (k.present != 0 ? attr::kPresent : 0u) |
           (k.avl != 0 ? attr::kAvl : 0u) | (k.l != 0 ? attr::kLong : 0u) | (k.db != 0 ? attr::kBig : 0u) |
           (k.g != 0 ? attr::kGranular : 0u) | (k.unusable != 0 ? attr::kUnusable : 0u);
  return s;
}

kvm_segment to_kvm(const Segment& s) {
  auto bit = [&](uint32_t mask) { return static_cast<uint8_t>((s.attr & mask) != 0); };
  kvm_segment k{};
  k.base = s.base;
  k.limit = s.limit;
  k.selector = s.selector;
  k.type = static_cast<uint8_t>(s.attr & attr::kTypeMask);
  k.s = bit(attr::kS);
  k.dpl = static_cast<uint8_t>(s.dpl());
  k.present = bit(attr::kPresent);
  k.avl = bit(attr::kAvl);
  k.l = bit(attr::kLong);
  k.db = bit(attr::kBig);
  k.g = bit(attr::kGranular);
  k.unusable = bit(attr::kUnusable);
  return k;
}

// KVM's register structure in the architecture's numbering.
std::array<__u64*, 16> gpr_fields(kvm_regs& r) {
  return {&r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rsp, &r.rbp, &r.rsi, &r.rdi,
          &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15};
}

std::array<kvm_segment*, kSegCount> segment_fields(kvm_sregs& r) {
  return {&r.es, &r.cs, &r.ss, &r.ds, &r.fs, &r.gs, &r.ldt, &r.tr};
}

uint8_t privilege(const CpuState& s) {
  if (!s.protected_mode()) return 0;
  return s.vm86() ? uint8_t{3} : static_cast<uint8_t>(s.seg[SS].dpl());
}

}  // namespace

void StateSync::warn_once(unsigned call, const char* name) {
  int error = errno;
  if ((warned_ >> call & 1) != 0) return;
  warned_ |= 1u << call;
  log_warn("KVM: {} failed: {}", name, std::strerror(error));
}

uint32_t StateSync::pkru_offset() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (c & (1u << 3)) == 0) return 0;
  if (__get_cpuid_count(0xd, kPkruComponent, &a, &b, &c, &d) == 0) return 0;
  return b <= kXsaveBytes - 8 ? b : 0;
}

void StateSync::pull(CpuState& s) {
  pull_registers(s);
  pull_vector(s);
  pull_msrs(s);
  pull_events(s);
}

void StateSync::push(CpuState& s) {
  push_system(s);
  push_vector(s);
  push_msrs(s);
  push_events(s);
  push_registers(s);
}

void StateSync::pull_general(CpuState& s) {
  kvm_regs regs{};
  if (::ioctl(fd_, KVM_GET_REGS, &regs) < 0) warn_once(kRegs, "KVM_GET_REGS");
  auto gprs = gpr_fields(regs);
  for (unsigned i = 0; i < 16; ++i) s.gpr[i] = *gprs[i];
}

void StateSync::push_general(const CpuState& s) {
  kvm_regs regs{};
  if (::ioctl(fd_, KVM_GET_REGS, &regs) < 0) return warn_once(kRegs, "KVM_GET_REGS");
  auto gprs = gpr_fields(regs);
  for (unsigned i = 0; i < 16; ++i) *gprs[i] = s.gpr[i];
  if (::ioctl(fd_, KVM_SET_REGS, &regs) < 0) warn_once(kRegs, "KVM_SET_REGS");
}

void StateSync::pull_registers(CpuState& s) {
  kvm_regs regs{};
  if (::ioctl(fd_, KVM_GET_REGS, &regs) < 0) warn_once(kRegs, "KVM_GET_REGS");
  auto gprs = gpr_fields(regs);
  for (unsigned i = 0; i < 16; ++i) s.gpr[i] = *gprs[i];
  s.rip = regs.rip;
  pulled_rip_ = regs.rip;
  s.set_rflags(regs.rflags);

  kvm_sregs sregs{};
  if (::ioctl(fd_, KVM_GET_SREGS, &sregs) < 0) warn_once(kSregs, "KVM_GET_SREGS");
  auto segments = segment_fields(sregs);
  for (unsigned i = 0; i < kSegCount; ++i) s.seg[i] = from_kvm(*segments[i]);
  s.gdtr = {sregs.gdt.base, sregs.gdt.limit, 0};
  s.idtr = {sregs.idt.base, sregs.idt.limit, 0};
  s.cr0 = sregs.cr0;
  s.cr2 = sregs.cr2;
  s.cr3 = sregs.cr3;
  s.cr4 = sregs.cr4;
  s.efer = sregs.efer;
  s.apic_base = sregs.apic_base;
  s.cpl = privilege(s);

  kvm_debugregs debug{};
  if (::ioctl(fd_, KVM_GET_DEBUGREGS, &debug) < 0) warn_once(kDebug, "KVM_GET_DEBUGREGS");
  for (unsigned i = 0; i < 4; ++i) s.dr[i] = debug.db[i];
  s.dr[6] = debug.dr6;
  s.dr[7] = debug.dr7;
}

void StateSync::push_registers(const CpuState& s) {
  kvm_regs regs{};
  auto gprs = gpr_fields(regs);
  for (unsigned i = 0; i < 16; ++i) *gprs[i] = s.gpr[i];
  regs.rip = s.rip;
  regs.rflags = s.rflags();
  if (::ioctl(fd_, KVM_SET_REGS, &regs) < 0) warn_once(kRegs, "KVM_SET_REGS");
  kvm_debugregs debug{};
  for (unsigned i = 0; i < 4; ++i) debug.db[i] = s.dr[i];
  debug.dr6 = s.dr[6];
  debug.dr7 = s.dr[7];
  if (::ioctl(fd_, KVM_SET_DEBUGREGS, &debug) < 0) warn_once(kDebug, "KVM_SET_DEBUGREGS");
}

void StateSync::push_system(const CpuState& s) {
  kvm_sregs sregs{};
  if (::ioctl(fd_, KVM_GET_SREGS, &sregs) < 0) warn_once(kSregs, "KVM_GET_SREGS");
  auto segments = segment_fields(sregs);
  for (unsigned i = 0; i < kSegCount; ++i) *segments[i] = to_kvm(s.seg[i]);
  sregs.gdt.base = s.gdtr.base;
  sregs.gdt.limit = static_cast<uint16_t>(s.gdtr.limit);
  sregs.idt.base = s.idtr.base;
  sregs.idt.limit = static_cast<uint16_t>(s.idtr.limit);
  sregs.cr0 = s.cr0;
  sregs.cr2 = s.cr2;
  sregs.cr3 = s.cr3;
  sregs.cr4 = s.cr4;
  sregs.efer = s.efer;
  sregs.apic_base = s.apic_base;
  if (s.rip != pulled_rip_) std::memset(sregs.interrupt_bitmap, 0, sizeof sregs.interrupt_bitmap);
  if (::ioctl(fd_, KVM_SET_SREGS, &sregs) < 0) warn_once(kSregs, "KVM_SET_SREGS");
}

void StateSync::pull_vector(CpuState& s) {
  kvm_xsave xsave{};
  if (::ioctl(fd_, KVM_GET_XSAVE, &xsave) < 0) warn_once(kXsave, "KVM_GET_XSAVE");
  static_assert(sizeof xsave.region == kXsaveBytes);
  std::memcpy(s.xsave, xsave.region, kXsaveBytes);
  if (uint32_t offset = pkru_offset(); offset != 0) {
    bool live = (s.xsave[kXstateBv + 1] & 2) != 0;
    uint32_t value = 0;
    std::memcpy(&value, s.xsave + offset, sizeof value);
    s.pkru = live ? value : 0;
  }
  kvm_xcrs xcrs{};
  if (::ioctl(fd_, KVM_GET_XCRS, &xcrs) < 0) warn_once(kXcrs, "KVM_GET_XCRS");
  if (xcrs.nr_xcrs > 0) s.xcr0 = xcrs.xcrs[0].value;
}

void StateSync::push_vector(const CpuState& s) {
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].xcr = 0;
  xcrs.xcrs[0].value = s.xcr0 != 0 ? s.xcr0 : 1;
  if (::ioctl(fd_, KVM_SET_XCRS, &xcrs) < 0) warn_once(kXcrs, "KVM_SET_XCRS");
  kvm_xsave xsave{};
  std::memcpy(xsave.region, s.xsave, kXsaveBytes);
  if (uint32_t offset = pkru_offset(); offset != 0 && s.pkru != 0) {
    // SAFETY: pkru_offset() is at least 8 below the end of the region.
    auto* bytes = reinterpret_cast<uint8_t*>(xsave.region);
    std::memcpy(bytes + offset, &s.pkru, sizeof s.pkru);
    bytes[kXstateBv + 1] |= 2;
  }
  if (::ioctl(fd_, KVM_SET_XSAVE, &xsave) < 0) warn_once(kXsave, "KVM_SET_XSAVE");
}

void StateSync::pull_msrs(CpuState& s) {
  // One by one after a refusal: KVM stops at the first MSR it does not know.
  auto get = [&](uint32_t index, uint64_t& value) {
    if (std::find(refused_msrs_.begin(), refused_msrs_.end(), index) != refused_msrs_.end()) return;
    MsrBuffer buffer(1);
    buffer.header()->nmsrs = 1;
    buffer.header()->entries[0].index = index;
    if (::ioctl(fd_, KVM_GET_MSRS, buffer.header()) == 1) {
      value = buffer.header()->entries[0].data;
    } else {
      refused_msrs_.push_back(index);
    }
  };
  for_each_msr(s, get);
  uint64_t tsc = 0;
  get(kMsrTsc, tsc);
  s.tsc_offset = static_cast<int64_t>(tsc - __rdtsc());
  known_tsc_offset_ = s.tsc_offset;
}

void StateSync::push_msrs(CpuState& s) {
  auto set = [&](uint32_t index, uint64_t value) {
    if (std::find(refused_msrs_.begin(), refused_msrs_.end(), index) != refused_msrs_.end()) return;
    MsrBuffer buffer(1);
    buffer.header()->nmsrs = 1;
    buffer.header()->entries[0] = {.index = index, .reserved = 0, .data = value};
    if (::ioctl(fd_, KVM_SET_MSRS, buffer.header()) == 1) return;
    refused_msrs_.push_back(index);
    if (value != 0) log_warn("KVM: the host refuses MSR {:#x} = {:#x}; it is ignored", index, value);
  };
  for_each_msr(s, set);
  if (s.tsc_offset != known_tsc_offset_) {
    set(kMsrTsc, __rdtsc() + static_cast<uint64_t>(s.tsc_offset));
    known_tsc_offset_ = s.tsc_offset;
  }
}

void StateSync::pull_events(CpuState& s) {
  kvm_vcpu_events events{};
  if (::ioctl(fd_, KVM_GET_VCPU_EVENTS, &events) < 0) return warn_once(kEvents, "KVM_GET_VCPU_EVENTS");
  s.nmi_blocked = events.nmi.masked != 0;
  s.interrupt_shadow = events.interrupt.shadow != 0;
  s.shadow_is_mov_ss = (events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0;
}

void StateSync::push_events(const CpuState& s) {
  kvm_vcpu_events events{};
  if (::ioctl(fd_, KVM_GET_VCPU_EVENTS, &events) < 0) return warn_once(kEvents, "KVM_GET_VCPU_EVENTS");
  events.nmi.masked = s.nmi_blocked;
  events.interrupt.shadow = 0;
  if (s.interrupt_shadow != 0) {
    events.interrupt.shadow = s.shadow_is_mov_ss != 0 ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
  }
  if (s.rip != pulled_rip_) {
    // Somebody (reset, a debugger) moved the vCPU: what was being delivered is gone.
    events.exception.injected = 0;
    events.exception.pending = 0;
    events.interrupt.injected = 0;
    events.nmi.injected = 0;
    events.nmi.pending = 0;
  }
  events.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
  if (::ioctl(fd_, KVM_SET_VCPU_EVENTS, &events) < 0) warn_once(kEvents, "KVM_SET_VCPU_EVENTS");
}

}  // namespace rhea::kvm
