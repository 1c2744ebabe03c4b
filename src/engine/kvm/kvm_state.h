// Architectural state ↔ KVM's register calls.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cpu/state.h"
#include "engine/kvm/kvm_abi.h"

namespace rhea::kvm {

// Moves one vCPU's state; on the vCPU's thread, not while it runs. Calls that the host refuses are warned of
// once.
class StateSync {
 public:
  explicit StateSync(int vcpu_fd) : fd_(vcpu_fd) {}
  void pull(cpu::CpuState& s);
  void push(cpu::CpuState& s);
  // Only the general registers.
  void pull_general(cpu::CpuState& s);
  void push_general(const cpu::CpuState& s);

 private:
  void pull_registers(cpu::CpuState& s);
  void pull_vector(cpu::CpuState& s);
  void pull_msrs(cpu::CpuState& s);
  void pull_events(cpu::CpuState& s);
  void push_registers(const cpu::CpuState& s);
  void push_system(const cpu::CpuState& s);
  void push_vector(const cpu::CpuState& s);
  void push_msrs(cpu::CpuState& s);
  void push_events(const cpu::CpuState& s);
  void warn_once(unsigned call, const char* name);
  uint32_t pkru_offset();

  int fd_;
  uint64_t pulled_rip_ = ~uint64_t{0};    // an event in flight belongs to this rip only
  int64_t known_tsc_offset_ = INT64_MIN;  // the TSC is written only when somebody changed the offset
  std::vector<uint32_t> refused_msrs_;
  uint32_t warned_ = 0;
};

}  // namespace rhea::kvm
