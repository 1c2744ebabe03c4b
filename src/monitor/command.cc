#include "monitor/command.h"

#include <algorithm>

#include "base/failf.h"

namespace rhea::monitor {

namespace {

// Null: the value is right.
const char* wrong_type(Kind kind, const Json& value) {
  switch (kind) {
    case Kind::String:
    case Kind::Filename:
    case Kind::Block:
    case Kind::Rest:
    case Kind::Format: return value.is_string() ? nullptr : "string";
    case Kind::Size:
    case Kind::Integer: return value.is_number_integer() ? nullptr : "integer";
    case Kind::Number: return value.is_number() ? nullptr : "number";
    case Kind::Boolean:
    case Kind::Flag: return value.is_boolean() ? nullptr : "boolean";
    case Kind::Object: return value.is_object() ? nullptr : "object";
    case Kind::Array: return value.is_array() ? nullptr : "array";
    case Kind::Any: return nullptr;
  }
  return nullptr;
}

}  // namespace

std::string Call::text(std::string_view name) const {
  auto found = arguments.find(std::string(name));
  return found != arguments.end() && found->is_string() ? found->get<std::string>() : std::string();
}

int64_t Call::number(std::string_view name, int64_t otherwise) const {
  auto found = arguments.find(std::string(name));
  return found != arguments.end() && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

bool Call::flag(std::string_view name, bool otherwise) const {
  auto found = arguments.find(std::string(name));
  return found != arguments.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

const std::vector<const Command*>& all_commands() {
  static const std::vector<const Command*> all = [] {
    std::vector<const Command*> rows;
    for (auto family : {run_commands(), info_commands(), cpu_commands(), memory_commands(), pci_commands(),
                        device_commands(), input_commands(), vnc_commands(), block_commands(),
                        chardev_commands(), network_commands(), meta_commands(), introspection_commands(),
                        object_commands(), migration_commands(), balloon_commands()}) {
      for (const Command& command : family) rows.push_back(&command);
    }
    return rows;
  }();
  return all;
}

const Command* find_qmp(std::string_view name) {
  for (const Command* command : all_commands()) {
    if (command->qmp != nullptr && command->qmp == name) return command;
  }
  return nullptr;
}

std::vector<std::string_view> names_of(const Command& command) {
  std::vector<std::string_view> names;
  std::string_view rest = command.hmp != nullptr ? command.hmp : "";
  while (!rest.empty()) {
    auto bar = rest.find('|');
    names.push_back(rest.substr(0, bar));
    rest = bar == rest.npos ? "" : rest.substr(bar + 1);
  }
  return names;
}

const Command* find_hmp(std::string_view name) {
  for (const Command* command : all_commands()) {
    auto names = names_of(*command);
    if (std::ranges::find(names, name) != names.end()) return command;
  }
  return nullptr;
}

std::unexpected<Error> device_not_found(std::string_view id) {
  return failf(ErrorKind::NotFound, "Device '{}' not found", id);
}

Result<> check_arguments(const Command& command, const Json& arguments) {
  for (const Parameter& parameter : command.parameters) {
    if (parameter.only == Only::Hmp || parameter.name.empty()) continue;
    auto given = arguments.find(std::string(parameter.name));
    if (given == arguments.end()) {
      if (parameter.optional || parameter.kind == Kind::Flag) continue;
      return failf(ErrorKind::Invalid, "Parameter '{}' is missing", parameter.name);
    }
    if (const char* expected = wrong_type(parameter.kind, *given)) {
      return failf(ErrorKind::Invalid, "Invalid parameter type for '{}', expected: {}", parameter.name,
                   expected);
    }
  }
  for (const auto& [key, value] : arguments.items()) {
    auto known = std::ranges::any_of(command.parameters, [&key](const Parameter& parameter) {
      return parameter.name == key && parameter.only != Only::Hmp;
    });
    // A row that ends in one called "" takes whatever there is.
    bool open = !command.parameters.empty() && command.parameters.back().name.empty();
    if (!known && !open) return failf(ErrorKind::Invalid, "Parameter '{}' is unexpected", key);
  }
  return {};
}

}  // namespace rhea::monitor
