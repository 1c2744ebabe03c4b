// What the machine is: names, versions, engines, contents of the firmware's memory.
#include <fmt/format.h>

#include "base/failf.h"
#include "memory/address_space.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

Result<Json> query_version(Call& call) {
  unsigned numbers[3] = {};
  std::sscanf(call.vm.version.c_str(), "%u.%u.%u", &numbers[0], &numbers[1], &numbers[2]);
  Json qemu = {{"micro", numbers[2]}, {"minor", numbers[1]}, {"major", numbers[0]}};
  return Json{{"qemu", std::move(qemu)}, {"package", "Rhea " RHEA_VERSION}};
}

std::string show_version(const Json& version) {
  const Json& qemu = version["qemu"];
  return fmt::format("{}.{}.{} ({})\n", qemu["major"].get<int>(), qemu["minor"].get<int>(),
                     qemu["micro"].get<int>(), version["package"].get<std::string>());
}

Result<Json> query_name(Call& call) {
  Json out = Json::object();
  if (!call.vm.name.empty()) out["name"] = call.vm.name;
  return out;
}

std::string show_name(const Json& name) {
  return name.contains("name") ? name["name"].get<std::string>() + "\n" : std::string();
}

Result<Json> query_uuid(Call& call) {
  constexpr const char* kNone = "00000000-0000-0000-0000-000000000000";
  return Json{{"UUID", call.vm.uuid.empty() ? kNone : call.vm.uuid}};
}

std::string show_uuid(const Json& uuid) {
  return uuid["UUID"].get<std::string>() + "\n";
}

Result<Json> query_kvm(Call& call) {
  return Json{{"enabled", !call.vm.accelerator->is_translator()}, {"present", true}};
}

std::string show_kvm(const Json& kvm) {
  return fmt::format("kvm support: {}\n", kvm["enabled"].get<bool>() ? "enabled" : "disabled");
}

Result<Json> query_target(Call&) {
  return Json{{"arch", "x86_64"}};
}

Result<Json> query_current_machine(Call&) {
  return Json{{"wakeup-suspend-support", false}};
}

Result<Json> info_jit(Call& call) {
  std::string text = call.vm.accelerator->info();
  if (text.empty()) return fail(ErrorKind::Invalid, "JIT information is only available with accel=tcg");
  if (!text.ends_with('\n')) text += '\n';
  return Json(call.hmp ? Json(text) : Json{{"human-readable-text", text}});
}

// Read-only memory in the map, and what the firmware is handed over.
Result<Json> info_roms(Call& call) {
  std::string text;
  auto view = call.vm.site->memory().view();
  for (const memory::FlatRange& range : view->ranges) {
    if (range.ram == nullptr || range.access != memory::RamAccess::ReadOnly) continue;
    text += fmt::format("addr={:016x} size=0x{:06x} mem=rom name=\"{}\"\n", range.start, range.size,
                        range.ram->name());
  }
  return Json(call.hmp ? Json(text) : Json{{"human-readable-text", text}});
}

Result<Json> none(Call&) {
  return Json::array();
}

}  // namespace

std::span<const Command> info_commands() {
  static const std::vector<Command> rows = {
      {"query-version", "info version", "", "show the version of QEMU", {}, query_version, show_version},
      {"query-name", "info name", "", "show the current VM name", {}, query_name, show_name},
      {"query-uuid", "info uuid", "", "show the current VM UUID", {}, query_uuid, show_uuid},
      {"query-kvm", "info kvm", "", "show KVM information", {}, query_kvm, show_kvm},
      {"query-target", nullptr, "", "", {}, query_target},
      {"query-current-machine", nullptr, "", "", {}, query_current_machine},
      {"x-query-jit", "info jit", "", "show dynamic compiler info", {}, info_jit},
      {"x-query-roms", "info roms", "", "show roms", {}, info_roms},
      // What this machine never has any of.
      {"query-memory-devices", "info memory-devices", "", "show memory devices", {}, none},
      {"query-yank", nullptr, "", "", {}, none},
      {"query-tpm-models", nullptr, "", "", {}, none},
      {"query-tpm-types", nullptr, "", "", {}, none},
      {"query-iothreads", "info iothreads", "", "show iothreads", {}, none},
      {"query-tpm", "info tpm", "", "show the TPM device", {}, none},
      {"query-block-jobs", nullptr, "", "", {}, none},
      {"query-jobs", nullptr, "", "", {}, none},
      {"query-fdsets", nullptr, "", "", {}, none},
      {"query-acpi-ospm-status", nullptr, "", "", {}, none},
  };
  return rows;
}

}  // namespace rhea::monitor
