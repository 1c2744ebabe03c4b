// A KVM virtual machine: its file descriptors and the memory slots that follow the guest's physical map.
//
// Linux Documentation/virt/kvm/api.rst. The interrupt controllers are Rhea's own devices (no
// KVM_CREATE_IRQCHIP), so that the same board runs under both engines. Missing: system-management mode, dirty
// logging. Threading: slots change with the machine lock held; the rest is constant after open().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/kvm/kvm_abi.h"
#include "memory/address_space.h"

namespace rhea::kvm {

class KvmMachine {
 public:
  // Errors: NotFound or Permission for /dev/kvm, Unsupported when the host's KVM lacks something we need.
  static Result<std::unique_ptr<KvmMachine>> open();
  // The guest's memory, from now on; before the first vCPU runs.
  void attach(memory::AddressSpace& memory);
  ~KvmMachine();
  KvmMachine(const KvmMachine&) = delete;
  KvmMachine& operator=(const KvmMachine&) = delete;

  Result<int> create_vcpu(unsigned index);
  uint64_t run_bytes() const { return run_bytes_; }
  const std::vector<kvm_cpuid_entry2>& supported_cpuid() const { return supported_cpuid_; }

 private:
  struct Slot {
    uint32_t number;
    uint64_t gpa, size;
    uint8_t* host;
    bool read_only;
    bool same_place(const Slot& o) const {
      return gpa == o.gpa && size == o.size && host == o.host && read_only == o.read_only;
    }
  };

  KvmMachine() = default;
  Result<> set_up();
  Result<> read_supported_cpuid();
  void update_slots();
  std::vector<Slot> wanted_slots() const;
  void set_slot(const Slot& slot, bool present);

  memory::AddressSpace* memory_ = nullptr;
  int kvm_fd_ = -1;
  int vm_fd_ = -1;
  uint64_t run_bytes_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_numbers_;
  std::vector<kvm_cpuid_entry2> supported_cpuid_;
};

}  // namespace rhea::kvm
