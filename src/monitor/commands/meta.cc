// Commands about commands.
#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

namespace {

std::string help_line(const Command& command) {
  return fmt::format("{} {} -- {}\n", command.hmp, command.arguments, command.help);
}

bool is_topic(const Command& command) {
  return std::string_view(command.hmp).starts_with("info ");
}

std::string help_list(bool topics) {
  std::vector<std::string> lines;
  for (const Command* command : all_commands()) {
    if (command->hmp != nullptr && is_topic(*command) == topics) lines.push_back(help_line(*command));
  }
  std::ranges::sort(lines);
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

Result<Json> help(Call& call) {
  std::string name = call.text("name");
  if (name.empty()) return Json(help_list(false));
  if (name == "info") return Json(help_list(true));
  const Command* command = find_hmp(name);
  if (command == nullptr) return Json(fmt::format("unknown command: '{}'\n", name));
  return Json(help_line(*command));
}

Result<Json> info_list(Call&) {
  return Json(help_list(true));
}

Result<Json> history(Call&) {
  return Json("");  // a session with lines has its own
}

Result<Json> query_commands(Call&) {
  Json list = Json::array();
  for (const Command* command : all_commands()) {
    if (command->qmp != nullptr) list.push_back({{"name", command->qmp}});
  }
  return list;
}

// Monitors answer this one themselves: they know whether it was said before.
Result<Json> capabilities(Call&) {
  return Json();
}

void human_monitor_command(Call& call, Answer answer) {
  auto cpu = static_cast<uint64_t>(call.number("cpu-index", 0));
  if (cpu >= call.vm.vm.cpus())
    return answer(fail(ErrorKind::Invalid, "Parameter 'cpu-index' expects a CPU number"));
  auto index = static_cast<unsigned>(cpu);
  call.monitor.run_line(call.text("command-line"), index,
                        [answer = std::move(answer)](std::string_view text) {
                          std::string lines;
                          for (char c : text) {
                            if (c == '\n') lines += '\r';
                            lines += c;
                          }
                          answer(Json(lines));
                        });
}

}  // namespace

std::span<const Command> meta_commands() {
  static const std::vector<Command> rows = {
      {nullptr, "help|?", "[cmd]", "show the help", {{"name", Kind::Rest, true}}, help},
      {nullptr, "info", "[subcommand]", "show various information about the system state", {}, info_list},
      {nullptr, "info history", "", "show the command line history", {}, history},
      {"qmp_capabilities", nullptr, "", "", {{"enable", Kind::Array, true}}, capabilities},
      {"query-commands", nullptr, "", "", {}, query_commands},
      {"human-monitor-command",
       nullptr,
       "",
       "",
       {{"command-line", Kind::String}, {"cpu-index", Kind::Integer, true}},
       nullptr,
       nullptr,
       Access::Free,
       human_monitor_command},
  };
  return rows;
}

}  // namespace rhea::monitor
