// The vCPUs: which there are, their registers, their page tables.
#include <fmt/format.h>

#include "base/failf.h"
#include "cpu/dump.h"
#include "memory/address_space.h"
#include "monitor/command.h"
#include "monitor/page_tables.h"

namespace rhea::monitor {

namespace {

std::string dump_cpu(Call& call, unsigned cpu) {
  const cpu::CpuState& s = call.vm.vm.core(cpu).s;
  return fmt::format("\nCPU#{}\n{}{}", cpu, cpu::dump_state(s), cpu::dump_vectors(s));
}

Result<Json> registers(Call& call) {
  if (call.flag("cpustate_all")) {
    std::string text;
    for (unsigned i = 0; i < call.vm.vm.cpus(); ++i) text += dump_cpu(call, i);
    return Json(text);
  }
  auto cpu = static_cast<uint64_t>(call.number("vcpu", call.cpu));
  if (cpu >= call.vm.vm.cpus()) return Json(fmt::format("CPU#{} not available\n", cpu));
  return Json(dump_cpu(call, static_cast<unsigned>(cpu)));
}

Result<Json> query_cpus(Call& call) {
  Json list = Json::array();
  const Context::Topology& t = call.vm.topology;
  for (unsigned i = 0; i < call.vm.vm.cpus(); ++i) {
    Json place = {{"core-id", i / t.threads % t.cores},
                  {"thread-id", i % t.threads},
                  {"socket-id", i / (t.threads * t.cores)}};
    list.push_back({{"thread-id", call.vm.vm.vcpu(i).thread_id()},
                    {"props", std::move(place)},
                    {"qom-path", fmt::format("/machine/unattached/device[{}]", i)},
                    {"cpu-index", i},
                    {"target", "x86_64"}});
  }
  return list;
}

Result<Json> query_hotpluggable(Call& call) {
  Json list = Json::array();
  const Json cpus = TRY(query_cpus(call));
  for (const Json& cpu : cpus) {
    list.push_back({{"props", cpu["props"]},
                    {"vcpus-count", 1},
                    {"qom-path", cpu["qom-path"]},
                    {"type", call.vm.cpu_type + "-x86_64-cpu"}});
  }
  return list;
}

Result<Json> info_cpus(Call& call) {
  std::string text;
  for (unsigned i = 0; i < call.vm.vm.cpus(); ++i)
    text += fmt::format("{} CPU #{}: thread_id={}\n", i == call.cpu ? '*' : ' ', i,
                        call.vm.vm.vcpu(i).thread_id());
  return Json(text);
}

Result<Json> choose_cpu(Call& call) {
  auto index = static_cast<uint64_t>(call.number("index"));
  if (index >= call.vm.vm.cpus()) return Json("invalid CPU index\n");
  call.cpu = static_cast<unsigned>(index);
  return Json();
}

Result<Json> info_tlb(Call& call) {
  return Json(list_pages(call.vm.vm.core(call.cpu)));
}
Result<Json> info_mem(Call& call) {
  return Json(list_ranges(call.vm.vm.core(call.cpu)));
}

}  // namespace

std::span<const Command> cpu_commands() {
  static const std::vector<Command> rows = {
      {nullptr,
       "info registers",
       "[-a|vcpu]",
       "show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; show the "
       "current "
       "CPU's registers if no argument is specified)",
       {{"cpustate_all", Kind::Flag, true, 'a'}, {"vcpu", Kind::Integer, true}},
       registers,
       nullptr,
       Access::Still},
      {"query-cpus-fast", nullptr, "", "", {}, query_cpus},
      {"query-hotpluggable-cpus", nullptr, "", "", {}, query_hotpluggable},
      {nullptr, "info cpus", "", "show infos for each CPU", {}, info_cpus},
      {nullptr, "cpu", "index", "set the default CPU", {{"index", Kind::Integer}}, choose_cpu},
      {nullptr,
       "info tlb",
       "",
       "show virtual to physical memory mappings",
       {},
       info_tlb,
       nullptr,
       Access::Still},
      {nullptr,
       "info mem",
       "",
       "show the active virtual memory mappings",
       {},
       info_mem,
       nullptr,
       Access::Still},
  };
  return rows;
}

}  // namespace rhea::monitor
