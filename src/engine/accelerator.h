// The choice of engine: -accel dbt (tcg is its familiar name) or kvm.
//
// Life cycle: open, ask for features, attach the board's memory, then one engine a vCPU. Main thread.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "cpu/engine.h"
#include "cpu/feature.h"
#include "memory/address_space.h"

namespace rhea::engine {

class Accelerator {
 public:
  virtual ~Accelerator() = default;
  // As in warnings about CPU features: "TCG", "KVM".
  virtual std::string_view name() const = 0;
  virtual bool is_translator() const = 0;
  virtual bool has_smm() const = 0;
  // What guests may be given.
  virtual cpu::FeatureSet features() const = 0;
  virtual void attach(memory::AddressSpace& memory) = 0;
  // The core is complete (cpuid, memory, ports, apic) and outlives the engine.
  virtual Result<std::unique_ptr<cpu::Engine>> create_engine(cpu::Core& core) = 0;
};

Result<std::unique_ptr<Accelerator>> open_kvm();

}  // namespace rhea::engine
