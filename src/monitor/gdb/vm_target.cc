#include "monitor/gdb/vm_target.h"

#include <algorithm>

#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::gdb {

VmTarget::VmTarget(machine::Vm& vm, const engine::Accelerator& accelerator)
    : vm_(vm), accelerator_(accelerator), cpus_(vm.cpus()) {}

std::optional<std::string> VmTarget::command(std::string_view line) {
  if (line == "info jit") return accelerator_.info();
  if (line == "system_reset") {
    forget();
    vm_.request_reset(machine::Cause::HostReset);
    return "";
  }
  if (line == "quit") {
    kill();
    return "";
  }
  return std::nullopt;
}

void VmTarget::forget() {
  for (Cpu& cpu : cpus_) cpu.fetched = cpu.changed = false;
}

const cpu::CpuState& VmTarget::state(unsigned cpu) {
  if (!cpus_[cpu].fetched) {
    cpus_[cpu].fetched = true;
    vm_.vcpu(cpu).call([](cpu::Engine& engine) { engine.pull(); });
  }
  return vm_.core(cpu).s;
}

cpu::CpuState& VmTarget::change(unsigned cpu) {
  state(cpu);
  cpus_[cpu].changed = true;
  return vm_.core(cpu).s;
}

// As the CPU itself would reach it: neither the privilege nor the write protection of the moment counts for a
// debugger.
bool VmTarget::translate(unsigned cpu, uint64_t address, uint64_t& physical) {
  state(cpu);
  physical = address;
  return physical_addresses_ || cpu::debug_translate(vm_.core(cpu), address, physical);
}

size_t VmTarget::read_memory(unsigned cpu, uint64_t linear, std::span<uint8_t> to) {
  size_t done = 0;
  while (done < to.size()) {
    uint64_t physical = 0;
    size_t n = std::min<size_t>(to.size() - done, kPageSize - ((linear + done) & kPageMask));
    if (!translate(cpu, linear + done, physical)) break;
    if (!vm_.core(cpu).memory->read(physical, to.subspan(done, n))) break;
    done += n;
  }
  return done;
}

size_t VmTarget::write_memory(unsigned cpu, uint64_t linear, std::span<const uint8_t> from) {
  size_t done = 0;
  while (done < from.size()) {
    uint64_t physical = 0;
    size_t n = std::min<size_t>(from.size() - done, kPageSize - ((linear + done) & kPageMask));
    if (!translate(cpu, linear + done, physical)) break;
    if (!vm_.core(cpu).memory->write(physical, from.subspan(done, n))) break;
    done += n;
  }
  return done;
}

bool VmTarget::set_points(const std::vector<Point>& points) {
  // KVM has the four debug registers.
  if (!accelerator_.is_translator() && points.size() > 4) return false;
  points_ = points;
  return true;
}

void VmTarget::push_changes() {
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    if (cpus_[i].changed) vm_.vcpu(i).call([](cpu::Engine& engine) { engine.push(); });
  }
  forget();
}

void VmTarget::resume(const std::vector<Action>& actions) {
  push_changes();
  std::vector<bool> run(cpus_.size());
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    run[i] = actions[i] != Action::Stay;
    cpu::DebugRequest& request = cpus_[i].request;
    request = {.single_step = actions[i] == Action::Step,
               .points = points_.data(),
               .count = static_cast<unsigned>(points_.size())};
    vm_.vcpu(i).call([&request](cpu::Engine& engine) { engine.set_debug(&request); });
  }
  vm_.request_resume(std::move(run));
}

void VmTarget::detach() {
  points_.clear();
  push_changes();
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    vm_.vcpu(i).call([](cpu::Engine& engine) { engine.set_debug(nullptr); });
  }
  vm_.request_resume();
}

}  // namespace rhea::gdb
