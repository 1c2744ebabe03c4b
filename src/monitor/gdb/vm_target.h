// A debugging session's target: the running Vm. Keeps which vCPUs' states have been fetched and changed since
// the last stop, and one DebugRequest a vCPU. Main thread, machine lock held.
#pragma once

#include <vector>

#include "machine/vm.h"
#include "monitor/gdb/target.h"

namespace rhea::gdb {

class VmTarget final : public Target {
 public:
  VmTarget(machine::Vm& vm, const engine::Accelerator& accelerator);

  // The vCPUs have run: what was fetched is stale.
  void forget();

  unsigned cpus() const override { return vm_.cpus(); }
  const cpu::CpuState& state(unsigned cpu) override;
  cpu::CpuState& change(unsigned cpu) override;
  size_t read_memory(unsigned cpu, uint64_t linear, std::span<uint8_t> to) override;
  size_t write_memory(unsigned cpu, uint64_t linear, std::span<const uint8_t> from) override;
  void use_physical_addresses(bool on) override { physical_addresses_ = on; }
  bool set_points(const std::vector<Point>& points) override;
  void resume(const std::vector<Action>& actions) override;
  void interrupt() override { vm_.request_pause(machine::RunState::Debug); }
  void detach() override;
  void kill() override { vm_.request_exit(0, machine::Cause::HostQuit); }
  std::optional<std::string> command(std::string_view line) override;

 private:
  struct Cpu {
    bool fetched = false, changed = false;
    cpu::DebugRequest request;
  };
  bool translate(unsigned cpu, uint64_t address, uint64_t& physical);
  void push_changes();

  machine::Vm& vm_;
  const engine::Accelerator& accelerator_;
  std::vector<Cpu> cpus_;
  std::vector<Point> points_;
  bool physical_addresses_ = false;
};

}  // namespace rhea::gdb
