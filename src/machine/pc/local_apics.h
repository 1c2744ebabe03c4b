// The vCPUs' interrupt controllers. Missing: the local APICs; for now the first vCPU takes what the 8259 pair has and
// messages are lost, which is what a machine without APICs does.
//
// Machine lock held.
#pragma once

#include <memory>
#include <vector>

#include "async/clock.h"
#include "bus/apic_bus.h"
#include "bus/device.h"
#include "cpu/models/topology.h"
#include "machine/pc/cpu_wires.h"
#include "memory/address_space.h"

namespace rhea::machine {

class LocalApics final : public bus::Device, public bus::ApicBus {
 public:
  LocalApics(CpuWires& cpus, bus::ExtIntSource& pic, async::Clock&, const cpu::Topology&) : cpus_(cpus) {
    for (size_t i = 0; i < cpus.count(); i++) all_.push_back(std::make_unique<PicOnly>(pic, i == 0));
  }
  cpu::InterruptController& controller(size_t i) { return *all_[i]; }
  Result<> map(memory::AddressSpace&) { return {}; }
  std::string_view name() const override { return "apics"; }
  void reset(bus::ResetKind) override {}
  void state(bus::StateVisitor&) override {}
  void deliver(const bus::ApicMessage&) override {}

 private:
  struct PicOnly final : cpu::InterruptController {
    PicOnly(bus::ExtIntSource& p, bool b) : pic(p), boot(b) {}
    bool deliverable() override { return boot && pic.extint_pending(); }
    int acknowledge() override { return pic.extint_pending() ? pic.acknowledge_extint() : -1; }
    uint8_t tpr() const override { return t; }
    void set_tpr(uint8_t v) override { t = v; }
    bool read_msr(uint32_t, uint64_t&) override { return false; }
    bool write_msr(uint32_t, uint64_t) override { return false; }
    void init() override {}
    void set_tsc_deadline(uint64_t) override {}
    uint64_t tsc_deadline() const override { return 0; }
    bus::ExtIntSource& pic;
    bool boot;
    uint8_t t = 0;
  };
  CpuWires& cpus_;
  std::vector<std::unique_ptr<PicOnly>> all_;
};

}  // namespace rhea::machine
