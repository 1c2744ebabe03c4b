#include <algorithm>

#include "cpu/models/feature_info.h"
#include "engine/accelerator.h"
#include "engine/kvm/kvm_engine.h"
#include "memory/write_watch.h"

namespace rhea::engine {

namespace {

class KvmAccelerator final : public Accelerator {
 public:
  explicit KvmAccelerator(std::unique_ptr<kvm::KvmMachine> machine) : machine_(std::move(machine)) {}

  std::string_view name() const override { return "KVM"; }
  bool is_translator() const override { return false; }
  bool has_smm() const override { return false; }
  cpu::FeatureSet features() const override {
    return cpu::features_of([this](uint32_t leaf, uint32_t subleaf) { return supported(leaf, subleaf); });
  }
  void attach(memory::AddressSpace& memory) override { machine_->attach(memory); }
  Result<std::unique_ptr<cpu::Engine>> create_engine(unsigned index) override {
    return TRY(kvm::KvmEngine::create(*machine_, index));
  }

 private:
  cpu::CpuidRegs supported(uint32_t leaf, uint32_t subleaf) const {
    for (const kvm_cpuid_entry2& e : machine_->supported_cpuid()) {
      bool any = (e.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0;
      if (e.function == leaf && (any || e.index == subleaf)) {
        cpu::CpuidRegs regs{e.eax, e.ebx, e.ecx, e.edx};
        if (leaf == 1) {
          regs.ecx = (regs.ecx & ~kvm::kWithoutKernelApic) | kvm::kAlwaysThere;
          regs.edx |= kvm::kHyperThreading;
        }
        return regs;
      }
    }
    return {0, 0, 0, 0};
  }

  std::unique_ptr<kvm::KvmMachine> machine_;
};

}  // namespace

Result<std::unique_ptr<Accelerator>> open_kvm() {
  auto machine = TRY(kvm::KvmMachine::open());
  memory::WriteWatch::forbid();  // the guest's stores fault in the kernel
  return std::make_unique<KvmAccelerator>(std::move(machine));
}

}  // namespace rhea::engine
