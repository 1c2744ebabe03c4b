// A vCPU run by KVM. SDM vol. 3A 10.8 for what an interrupt needs; api.rst 5 (kvm_run) for the exits.
//
// The local APIC is Rhea's: interrupts go in through KVM_INTERRUPT when the guest can take them, CR8 is
// carried both ways at each exit, INIT and SIPI are performed here. KVM keeps the state while the guest runs;
// Core::s is current only between pull() and push(). Missing: SMI, x2APIC and the TSC-deadline timer (masked
// from CPUID).
#pragma once

#include <atomic>
#include <memory>

#include "cpu/engine.h"
#include "engine/kvm/kvm_abi.h"
#include "engine/kvm/kvm_machine.h"
#include "engine/kvm/kvm_state.h"

namespace rhea::kvm {

// CPUID.1:ECX. x2APIC (21) and the TSC-deadline timer (24) need KVM's own local APIC; OSXSAVE (27) and the
// hypervisor bit (31) are not KVM's to support.
inline constexpr uint32_t kWithoutKernelApic = 1u << 21 | 1u << 24;
inline constexpr uint32_t kAlwaysThere = 1u << 27 | 1u << 31;
// CPUID.1:EDX.HTT says something of the topology, not of the host.
inline constexpr uint32_t kHyperThreading = 1u << 28;

class KvmEngine final : public cpu::Engine {
 public:
  // core() is completed (memory, ports, apic, cpuid) before the first push(), which gives KVM its CPUID.
  static Result<std::unique_ptr<KvmEngine>> create(KvmMachine& machine, unsigned index);
  ~KvmEngine() override;

  cpu::Exit run() override;
  void kick() override;
  cpu::Core& core() override { return core_; }
  void pull() override;
  void push() override;
  void set_debug(const cpu::DebugRequest* request) override;
  cpu::DebugHit debug_hit() const override { return hit_; }

 private:
  KvmEngine(KvmMachine& machine, unsigned index, int fd);
  Result<> set_up();
  void set_cpuid();
  bool can_execute() const;
  bool wake_up();
  void prepare_entry(bool may_interrupt);
  bool inject_interrupt();
  void enter();
  void finish_access();
  void handle_init();
  void handle_sipi();
  bool handle_pending(cpu::Exit& exit);
  bool handle_exit(cpu::Exit& exit);
  void handle_io();
  bool at_local_apic(uint64_t gpa) const;
  void handle_mmio();
  bool handle_debug();
  void apply_debug(bool step, bool code_points);

  KvmMachine& machine_;
  cpu::Core core_;
  int fd_;
  bool cpuid_set_ = false;
  kvm_run* run_ = nullptr;
  StateSync sync_;
  std::atomic<int> thread_{0};  // the vCPU's kernel thread while in run()
  bool access_open_ = false;    // an IN or MMIO read whose result KVM has not taken yet
  const cpu::DebugRequest* request_ = nullptr;
  bool at_code_point_ = false;  // the last exit was one: the next run steps over it first
  bool stepping_over_ = false;
  cpu::DebugHit hit_;
};

}  // namespace rhea::kvm
