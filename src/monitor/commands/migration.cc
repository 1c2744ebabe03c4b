// Snapshots of a running machine and migration, neither of which there is: asked for, they are refused.
//
// Programs look for the capabilities of migration and set that of events before anything else. It can be
// set; no migration ever comes to be reported.
#include "base/failf.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

constexpr const char* kEvents = "events";

Result<Json> query_migrate(Call&) {
  return Json::object();  // none has been
}

Result<Json> query_capabilities(Call& call) {
  return Json::array({{{"capability", kEvents}, {"state", call.vm.migration_events}}});
}

Result<Json> set_capabilities(Call& call) {
  for (const Json& one : call.arguments["capabilities"]) {
    const bool shaped = one.is_object() && one.contains("capability") && one["capability"].is_string() &&
                        one.contains("state") && one["state"].is_boolean();
    if (!shaped)
      return fail(ErrorKind::Invalid, "Parameter 'capabilities' expects objects of capability and state");
    if (one["capability"] != kEvents)
      return failf(ErrorKind::Unsupported, "migration is not supported, nor its capability '{}'",
                   one["capability"].get<std::string>());
  }
  for (const Json& one : call.arguments["capabilities"]) call.vm.migration_events = one["state"].get<bool>();
  return Json();
}

Result<Json> no_migration(Call&) {
  return fail(ErrorKind::Unsupported, "migration is not supported");
}

Result<Json> no_snapshots(Call&) {
  return fail(ErrorKind::Invalid, "snapshots of the running machine are not supported");
}

}  // namespace

std::span<const Command> migration_commands() {
  static const std::vector<Command> rows = {
      {"query-migrate", nullptr, "", "", {}, query_migrate},
      {"query-migrate-capabilities", nullptr, "", "", {}, query_capabilities},
      {"migrate-set-capabilities", nullptr, "", "", {{"capabilities", Kind::Array}}, set_capabilities},
      {"migrate-set-parameters", nullptr, "", "", {{"", Kind::Any, true, 0, Only::Qmp}}, no_migration},
      {"migrate",
       "migrate",
       "uri",
       "migrate to URI: not supported",
       {{"uri", Kind::String}, {"", Kind::Any, true, 0, Only::Qmp}},
       no_migration},
      {nullptr,
       "savevm",
       "tag",
       "save a VM snapshot. If no tag is provided, a new snapshot is created",
       {{"name", Kind::String, true}},
       no_snapshots},
      {nullptr,
       "loadvm",
       "tag",
       "restore a VM snapshot from its tag",
       {{"name", Kind::String}},
       no_snapshots},
      {nullptr, "delvm", "tag", "delete a VM snapshot from its tag", {{"name", Kind::String}}, no_snapshots},
  };
  return rows;
}

}  // namespace rhea::monitor
