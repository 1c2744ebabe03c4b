// The choice of engine: -accel dbt (tcg is its familiar name) or kvm.
//
// Life cycle: open, ask for features, one engine a vCPU, wire their cores, attach the board's memory. Main
// thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cpu/engine.h"
#include "cpu/feature.h"
#include "memory/address_space.h"

namespace rhea::dbt {
struct DbtOptions;  // engine/dbt/options.h
}

namespace rhea::engine {

class Accelerator {
 public:
  virtual ~Accelerator() = default;
  // As in warnings about CPU features: "TCG", "KVM".
  virtual std::string_view name() const = 0;
  virtual bool is_translator() const = 0;
  virtual bool has_smm() const = 0;
  // For people: counts and sizes of the translator (info jit); empty when there is nothing to tell.
  virtual std::string info() const { return {}; }
  // What guests may be given.
  virtual cpu::FeatureSet features() const = 0;
  virtual void attach(memory::AddressSpace& memory) = 0;
  // The engine owns its core, which the caller completes (cpuid, memory, ports, apic) before push() and
  // run().
  virtual Result<std::unique_ptr<cpu::Engine>> create_engine(unsigned index) = 0;
};

Result<std::unique_ptr<Accelerator>> open_kvm();
Result<std::unique_ptr<Accelerator>> open_dbt(const dbt::DbtOptions& options);

}  // namespace rhea::engine
