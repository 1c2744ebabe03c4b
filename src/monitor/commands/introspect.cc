// What programs ask before they drive a machine: which machines, CPU models, options and commands there are.
// QEMU's docs/interop and QAPI reference for the shapes.
//
// Missing: the schema does not say what commands return.
#include <algorithm>
#include <set>

#include "base/failf.h"
#include "cpu/models/cpu_model.h"
#include "cpu/models/model_table.h"
#include "machine/pc/machine_types.h"
#include "machine/plug/registry.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

using machine::MachineType;

constexpr unsigned kMostVcpus = 64;
constexpr const char* kCpuSuffix = "-x86_64-cpu";

Result<Json> query_machines(Call&) {
  Json list = Json::array();
  for (const MachineType& type : machine::machine_types()) {
    Json one = {{"hotpluggable-cpus", false},  {"name", type.name},
                {"numa-mem-supported", false}, {"default-cpu-type", std::string("qemu64") + kCpuSuffix},
                {"cpu-max", kMostVcpus},       {"deprecated", type.deprecated}};
    if (!type.alias.empty()) one["alias"] = type.alias;
    if (type.is_default) one["is-default"] = true;
    list.push_back(std::move(one));
  }
  return list;
}

// "TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]" is about hle.
std::string feature_of(const std::string& warning) {
  const size_t dot = warning.rfind('.'), end = warning.find(' ', dot);
  return dot == std::string::npos ? warning : warning.substr(dot + 1, end - dot - 1);
}

Json cpu_definition(Call& call, const std::string& name) {
  Json missing = Json::array();
  cpu::ModelRequest request;
  request.text = name;
  request.supported = call.vm.accelerator->features();
  request.translator = call.vm.accelerator->is_translator();
  if (auto model = cpu::CpuModel::create(request)) {
    for (const std::string& warning : (*model)->warnings()) missing.push_back(feature_of(warning));
  }
  return {{"name", name},    {"typename", name + kCpuSuffix}, {"unavailable-features", std::move(missing)},
          {"static", false}, {"migration-safe", true},        {"deprecated", false}};
}

Result<Json> query_cpu_definitions(Call& call) {
  Json list = Json::array();
  for (const cpu::ModelRow& row : cpu::model_rows()) {
    list.push_back(cpu_definition(call, row.name));
    std::string_view rest = row.aliases != nullptr ? row.aliases : "";
    while (!rest.empty()) {
      const size_t space = rest.find(' ');
      Json alias = cpu_definition(call, std::string(rest.substr(0, space)));
      alias["alias-of"] = row.name;
      list.push_back(std::move(alias));
      rest = space == rest.npos ? "" : rest.substr(space + 1);
    }
  }
  return list;
}

Result<Json> query_command_line_options(Call& call) {
  Json all = call.vm.command_line_options ? TRY(parse_json(call.vm.command_line_options())) : Json::array();
  if (!call.has("option")) return all;
  for (const Json& option : all) {
    if (option["option"] == call.text("option")) return Json::array({option});
  }
  return failf(ErrorKind::Invalid, "invalid option name: {}", call.text("option"));
}

const char* type_name(const Parameter& parameter) {
  switch (parameter.kind) {
    case Kind::Size:
    case Kind::Integer: return "int";
    case Kind::Number: return "number";
    case Kind::Boolean:
    case Kind::Flag: return "bool";
    case Kind::Object:
    case Kind::Any: return "any";
    case Kind::Array: return "[any]";
    default: return "str";
  }
}

Json members_of(const Command& command) {
  Json members = Json::array();
  for (const Parameter& parameter : command.parameters) {
    if (parameter.only == Only::Hmp || parameter.name.empty()) continue;
    Json member = {{"name", parameter.name}, {"type", type_name(parameter)}};
    if (parameter.optional || parameter.kind == Kind::Flag) member["default"] = nullptr;
    members.push_back(std::move(member));
  }
  return members;
}

// Types have numbers for names, as in QEMU, whose clients are told not to rely on them.
Result<Json> query_schema(Call&) {
  Json list = Json::array();
  unsigned next = 1;
  for (const Command* command : all_commands()) {
    if (command->qmp == nullptr) continue;
    Json members = members_of(*command);
    std::string arguments = "0";
    if (!members.empty()) {
      arguments = std::to_string(next++);
      list.push_back({{"name", arguments}, {"members", std::move(members)}, {"meta-type", "object"}});
    }
    list.push_back(
        {{"name", command->qmp}, {"ret-type", "any"}, {"meta-type", "command"}, {"arg-type", arguments}});
  }
  for (const char* event :
       {"BLOCK_IO_ERROR", "DEVICE_DELETED", "DEVICE_TRAY_MOVED", "POWERDOWN", "RESET", "RESUME", "SHUTDOWN",
        "STOP", "VNC_CONNECTED", "VNC_DISCONNECTED", "VNC_INITIALIZED"})
    list.push_back({{"name", event}, {"meta-type", "event"}, {"arg-type", "0"}});
  list.push_back({{"name", "0"}, {"members", Json::array()}, {"meta-type", "object"}});
  list.push_back({{"name", "[any]"}, {"element-type", "any"}, {"meta-type", "array"}});
  for (auto [name, json] :
       {std::pair("str", "string"), std::pair("int", "int"), std::pair("number", "number"),
        std::pair("bool", "boolean"), std::pair("any", "value")})
    list.push_back({{"name", name}, {"json-type", json}, {"meta-type", "builtin"}});
  return list;
}

}  // namespace

std::span<const Command> introspection_commands() {
  static const std::vector<Command> rows = {
      {"query-machines", nullptr, "", "", {}, query_machines},
      {"query-cpu-definitions", nullptr, "", "", {}, query_cpu_definitions},
      {"query-command-line-options",
       nullptr,
       "",
       "",
       {{"option", Kind::String, true}},
       query_command_line_options},
      {"query-qmp-schema", nullptr, "", "", {}, query_schema},
  };
  return rows;
}

}  // namespace rhea::monitor
