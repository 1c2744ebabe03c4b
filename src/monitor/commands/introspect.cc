// What programs ask before they drive a machine: which machines, CPU models, devices, options and commands
// there are, and the tree of objects. QEMU's docs/interop and QAPI reference for the shapes.
//
// Missing: the tree of objects holds the devices that were plugged in, with the properties they were given;
// the schema does not say what commands return.
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

using machine::DeviceTree;
using machine::MachineType;

constexpr unsigned kMostVcpus = 64;
constexpr const char* kCpuSuffix = "-x86_64-cpu";

std::string current_machine(Call& call) {
  for (const MachineType& type : machine::machine_types()) {
    const std::string& given = call.vm.machine_type;
    if (given.empty() ? type.is_default : type.name == given || type.alias == given)
      return std::string(type.name);
  }
  return call.vm.machine_type;
}

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

// -- objects ------------------------------------------------------------------------------------------------

Json property(const std::string& name, const std::string& type) {
  return {{"name", name}, {"type", type}};
}

Result<Json> qom_list(Call& call) {
  std::string path = call.text("path");
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const DeviceTree& tree = call.vm.site->tree();
  Json list = Json::array({property("type", "string")});
  if (path == "/") {
    list.push_back(property("machine", "child<" + current_machine(call) + "-machine>"));
    return list;
  }
  if (path == "/machine") {
    for (const char* folder : {"unattached", "peripheral-anon", "peripheral"})
      list.push_back(property(folder, "child<container>"));
    return list;
  }
  const bool folder =
      path == "/machine/unattached" || path == "/machine/peripheral-anon" || path == "/machine/peripheral";
  for (size_t i = 0; path == "/machine/unattached" && i < call.vm.vm.cpus(); ++i)
    list.push_back(
        property("device[" + std::to_string(i) + "]", "child<" + call.vm.cpu_type + kCpuSuffix + ">"));
  for (const auto& plugged : tree.devices()) {
    if (folder && plugged->path.starts_with(path + "/"))
      list.push_back(
          property(plugged->path.substr(path.size() + 1), "child<" + plugged->request.driver + ">"));
    if (plugged->path != path) continue;
    for (const auto& [key, value] : plugged->request.values) list.push_back(property(key, "string"));
    return list;
  }
  if (folder) return list;
  return device_not_found(path);
}

Result<Json> qom_get(Call& call) {
  const std::string path = call.text("path"), wanted = call.text("property");
  std::string type;
  if (path == "/machine") type = current_machine(call) + "-machine";
  const DeviceTree::Plugged* plugged = call.vm.site->tree().find(path);
  if (plugged != nullptr) type = plugged->request.driver;
  if (type.empty()) return device_not_found(path);
  if (wanted == "type") return Json(type);
  for (size_t i = plugged != nullptr ? plugged->request.values.size() : 0; i-- > 0;) {
    const auto& [key, value] = plugged->request.values[i];
    if (key == wanted) return Json(value.value_or("on"));
  }
  return failf(ErrorKind::Invalid, "Property '{}.{}' not found", type, wanted);
}

Result<Json> qom_list_types(Call& call) {
  Json list = Json::array();
  const std::string base = call.text("implements");
  const bool devices = base.empty() || base == "device" || base == "object";
  for (const std::string& name : machine::driver_names()) {
    if (devices) list.push_back({{"name", name}, {"parent", "device"}});
  }
  // By the first, libvirt knows that there is a translator.
  for (const auto& [name, parent] :
       {std::pair("tcg-accel", "accel"), std::pair("kvm-accel", "accel"), std::pair("secret", "object"),
        std::pair("rng-random", "rng-backend"), std::pair("rng-builtin", "rng-backend")}) {
    if (base.empty() || base == "object" || base == parent)
      list.push_back({{"name", name}, {"parent", parent}});
  }
  for (const MachineType& type : machine::machine_types()) {
    if (base.empty() || base == "object" || base == "machine")
      list.push_back({{"name", std::string(type.name) + "-machine"}, {"parent", "generic-pc-machine"}});
  }
  return list;
}

// From the lines of `-device NAME,help`: "  KEY=<TYPE>  - TEXT".
Result<Json> device_list_properties(Call& call) {
  const std::string name = call.text("typename");
  if (machine::find_driver(name) == nullptr) return failf(ErrorKind::NotFound, "Device '{}' not found", name);
  const std::string text = TRY(machine::device_help(name));
  Json list = Json::array();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const size_t open = line.find("=<"), close = line.find('>', open), dash = line.find(" - ", close);
    if (!line.starts_with("  ") || open == std::string::npos || close == std::string::npos) continue;
    std::string type = line.substr(open + 2, close - open - 2);
    if (type == "text" || type.find('|') != std::string::npos) type = "str";
    Json one = {{"name", line.substr(2, open - 2)}, {"type", type}};
    if (dash != std::string::npos) one["description"] = line.substr(dash + 3);
    list.push_back(std::move(one));
  }
  return list;
}

// Of devices as above; of machines what -machine takes is not a property of an object here.
Result<Json> qom_list_properties(Call& call) {
  const std::string name = call.text("typename");
  if (machine::find_driver(name) != nullptr) return device_list_properties(call);
  constexpr std::string_view kMachine = "-machine";
  if (name.ends_with(kMachine) &&
      machine::find_machine_type(name.substr(0, name.size() - kMachine.size())) != nullptr)
    return Json::array({property("type", "string")});
  // libvirt takes it for granted that this class is there; that -object has none of it, it finds out.
  if (name == "memory-backend-file") return Json::array({property("type", "string")});
  return failf(ErrorKind::NotFound, "Device '{}' not found", name);
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
      {"qom-list", nullptr, "", "", {{"path", Kind::String}}, qom_list},
      {"qom-get", nullptr, "", "", {{"path", Kind::String}, {"property", Kind::String}}, qom_get},
      {"qom-list-types",
       nullptr,
       "",
       "",
       {{"implements", Kind::String, true}, {"abstract", Kind::Boolean, true}},
       qom_list_types},
      {"qom-list-properties", nullptr, "", "", {{"typename", Kind::String}}, qom_list_properties},
      {"device-list-properties", nullptr, "", "", {{"typename", Kind::String}}, device_list_properties},
  };
  return rows;
}

}  // namespace rhea::monitor
