// The tree of objects, as far as programs look at it: what devices were plugged in, of which types they are,
// their properties as they were given. QEMU's QAPI reference, "QEMU Object Model", for the shapes.
//
// Missing: objects other than the devices of the command line and the monitor, CPUs and the machine; setting.
#include <algorithm>
#include <optional>

#include "base/failf.h"
#include "base/sizes.h"
#include "config/schema.h"
#include "machine/pc/machine_types.h"
#include "machine/plug/board_properties.h"
#include "machine/plug/registry.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

using machine::DeviceTree;
using machine::MachineType;

std::string current_machine(Call& call) {
  for (const MachineType& type : machine::machine_types()) {
    const std::string& given = call.vm.machine_type;
    if (given.empty() ? type.is_default : type.name == given || type.alias == given)
      return std::string(type.name);
  }
  return call.vm.machine_type;
}

Json property(const std::string& name, const std::string& type) {
  return {{"name", name}, {"type", type}};
}

struct Property {
  std::string name, type, help = {}, otherwise = {};
};

// "  KEY=<TYPE>  - TEXT (default: VALUE)", a line of `-device NAME,help`.
std::optional<Property> property_of(std::string_view line) {
  constexpr std::string_view kDefault = " (default: ";
  const size_t open = line.find("=<"), close = line.find('>', open), dash = line.find(" - ", close);
  if (!line.starts_with("  ") || open == line.npos || close == line.npos) return std::nullopt;
  Property found{std::string(line.substr(2, open - 2)), std::string(line.substr(open + 2, close - open - 2))};
  if (found.type == "text" || found.type.find('|') != std::string::npos) found.type = "str";
  if (dash != line.npos) found.help = line.substr(dash + 3);
  const size_t value = found.help.rfind(kDefault);
  if (value != std::string::npos && found.help.ends_with(')')) {
    found.otherwise = found.help.substr(value + kDefault.size());
    found.otherwise.pop_back();
  }
  return found;
}

Result<std::vector<Property>> properties_of(const std::string& driver) {
  const std::string text = TRY(machine::device_help(driver));
  std::vector<Property> list;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (auto property = property_of(std::string_view(text).substr(at, end - at))) list.push_back(*property);
    at = end + 1;
  }
  return list;
}

// What was typed, as a value of its type: numbers and switches are such in JSON.
Json typed_value(const std::string& type, const std::string& text) {
  if (type == "bool") return text == "on" || text == "yes" || text == "true" || text == "y";
  if (type == "int" || type == "size") {
    if (text.empty()) return 0;
    if (auto number = parse_size(text)) return *number;
  }
  return text;
}

// "/machine/unattached/device[N]"
bool is_cpu(Call& call, std::string_view path) {
  constexpr std::string_view kFolder = "/machine/unattached/device[";
  if (!path.starts_with(kFolder) || !path.ends_with(']')) return false;
  const std::string_view digits = path.substr(kFolder.size(), path.size() - kFolder.size() - 1);
  const auto index = config::parse_unsigned(digits, 0, UINT32_MAX);
  return index && *index < call.vm.vm.cpus();
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
        property("device[" + std::to_string(i) + "]", "child<" + call.vm.cpu_type + "-x86_64-cpu" + ">"));
  for (const auto& plugged : tree.devices()) {
    if (folder && plugged->path.starts_with(path + "/"))
      list.push_back(
          property(plugged->path.substr(path.size() + 1), "child<" + plugged->request.driver + ">"));
    if (plugged->path != path) continue;
    for (const Property& known : TRY(properties_of(plugged->request.driver)))
      list.push_back(property(known.name, known.type));
    return list;
  }
  if (folder || is_cpu(call, path)) return list;
  return device_not_found(path);
}

// As it was given, or as it is without that.
Result<Json> device_property(const machine::DeviceRequest& request, const std::string& wanted) {
  const std::vector<Property> known = TRY(properties_of(request.driver));
  const auto property = std::ranges::find(known, wanted, &Property::name);
  if (property == known.end())
    return failf(ErrorKind::Invalid, "Property '{}.{}' not found", request.driver, wanted);
  for (size_t i = request.values.size(); i-- > 0;) {
    const auto& [key, value] = request.values[i];
    if (key == wanted) return typed_value(property->type, value.value_or("on"));
  }
  return typed_value(property->type, property->otherwise);
}

Result<Json> qom_get(Call& call) {
  const std::string path = call.text("path"), wanted = call.text("property");
  const DeviceTree::Plugged* plugged = call.vm.site->tree().find(path);
  std::string type;
  if (path == "/machine") type = current_machine(call) + "-machine";
  if (is_cpu(call, path)) type = call.vm.cpu_type + "-x86_64-cpu";
  if (plugged != nullptr) type = plugged->request.driver;
  if (type.empty()) return device_not_found(path);
  if (wanted == "type") return Json(type);
  if (plugged != nullptr) return device_property(plugged->request, wanted);
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

Result<Json> device_list_properties(Call& call) {
  const std::string name = call.text("typename");
  Json list = Json::array();
  for (const machine::BoardProperty& known : machine::kBoardProperties) {
    if (known.driver == name) list.push_back(property(std::string(known.property), std::string(known.type)));
  }
  if (machine::find_driver(name) == nullptr) {
    if (!list.empty()) return list;
    return failf(ErrorKind::NotFound, "Device '{}' not found", name);
  }
  for (const Property& known : TRY(properties_of(name))) {
    Json one = {{"name", known.name}, {"type", known.type}};
    if (!known.help.empty()) one["description"] = known.help;
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

std::span<const Command> object_commands() {
  static const std::vector<Command> rows = {
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
