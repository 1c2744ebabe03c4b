#include "monitor/monitor.h"

#include <fmt/format.h>
#include <time.h>

#include <cctype>

#include "base/failf.h"
#include "monitor/hmp_session.h"
#include "monitor/qmp_session.h"
#include "monitor/register_names.h"

namespace rhea::monitor {

Json error_object(const Error& error) {
  std::string text = error.message();
  bool missing_device = error.kind() == ErrorKind::NotFound && text.starts_with("Device '");
  const char* kind = error.kind() == ErrorKind::Unsupported && text.starts_with("The command ")
                         ? "CommandNotFound"
                     : text.find("apabilities negotiation") != text.npos ? "CommandNotFound"
                     : missing_device                                    ? "DeviceNotFound"
                     : text == "No balloon device has been activated"    ? "DeviceNotActive"
                                                                         : "GenericError";
  return {{"class", kind}, {"desc", text}};
}

Monitor::Monitor(Context& context) : context_(context) {
  context_.vm.add_listener(*this);
}

Monitor::~Monitor() {
  std::scoped_lock hold(context_.vm.lock());
  *alive_ = false;
  alive_.reset();
  context_.vm.remove_listener(*this);
  sessions_.clear();
}

void Monitor::add_hmp(chardev::Chardev& line) {
  sessions_.push_back(std::make_unique<HmpSession>(*this, line));
}
void Monitor::add_qmp(chardev::Chardev& line, bool pretty) {
  sessions_.push_back(std::make_unique<QmpSession>(*this, line, pretty));
}

void Monitor::emit(std::string_view event, Json data) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Json whole = {{"timestamp", {{"seconds", now.tv_sec}, {"microseconds", now.tv_nsec / 1000}}},
                {"event", event}};
  if (!data.is_null()) whole["data"] = std::move(data);
  for (auto& session : sessions_) session->event(whole);
}

void Monitor::state_changed(machine::RunState from, machine::RunState to) {
  if (to == machine::RunState::Running) return emit("RESUME");
  if (from == machine::RunState::Running) emit("STOP");
}
void Monitor::was_reset(machine::Cause cause) {
  emit("RESET", {{"guest", machine::from_guest(cause)}, {"reason", machine::name_of(cause)}});
}
void Monitor::shutting_down(machine::Cause cause) {
  emit("SHUTDOWN", {{"guest", machine::from_guest(cause)}, {"reason", machine::name_of(cause)}});
}
void Monitor::power_button() {
  emit("POWERDOWN");
}

Result<Json> Monitor::run_unsettled(const Command& command, Call& call) {
  if (command.access == Access::Free) return command.run(call);
  if (command.access == Access::Locked) {
    std::scoped_lock hold(context_.vm.lock());
    return command.run(call);
  }
  Result<Json> result = Json();
  context_.vm.with_vcpus_still([&] { result = command.run(call); });
  return result;
}

void Monitor::run(const Command& command, const Json& arguments, unsigned& cpu, bool hmp, Answer answer) {
  Call call{context_, *this, arguments, cpu, hmp};
  if (command.start != nullptr) {
    command.start(call, [alive = std::weak_ptr(alive_), answer = std::move(answer)](Result<Json> result) {
      if (alive.lock()) answer(std::move(result));
    });
    return;
  }
  Result<Json> result = run_unsettled(command, call);
  // What it has asked of the machine is done, and programs have heard of it, before it is answered.
  context_.vm.settle();
  answer(std::move(result));
}

void Monitor::in_background(std::function<void()> work, std::function<void()> then) {
  workers_.submit([&loop = context_.vm.loop(), alive = std::weak_ptr(alive_), work = std::move(work),
                   then = std::move(then)]() mutable {
    work();
    loop.post([alive = std::move(alive), then = std::move(then)] {
      if (alive.lock()) then();
    });
  });
}

void Monitor::run_line(std::string_view line, unsigned& cpu, std::function<void(std::string text)> told) {
  auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  auto take_name = [&] {
    while (!line.empty() && blank(line[0])) line.remove_prefix(1);
    size_t end = 0;
    while (end < line.size() && !blank(line[end]) && line[end] != '/') ++end;
    std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
  };
  std::string name(take_name());
  if (name.empty()) return told({});
  const Command* command = find_hmp(name);
  if (name == "info") {
    std::string_view topic = take_name();
    if (!topic.empty()) {
      name += " " + std::string(topic);
      command = find_hmp(name);
    }
  }
  if (command == nullptr) return told(fmt::format("unknown command: '{}'\n", name));
  run_parsed(*command, name, line, cpu, std::move(told));
}

void Monitor::run_parsed(const Command& command, std::string_view name, std::string_view rest, unsigned& cpu,
                         std::function<void(std::string text)> told) {
  auto arguments = parse_hmp_arguments(
      command, rest, [&](std::string_view reg) { return register_value(context_.vm, cpu, reg); });
  if (!arguments) {
    return told(fmt::format("{}\nTry \"help {}\" for more information\n", arguments.error().message(), name));
  }
  run(command, *arguments, cpu, true, [&command, told = std::move(told)](Result<Json> result) {
    if (!result) return told("Error: " + result.error().message() + "\n");
    if (command.show != nullptr) return told(command.show(*result));
    told(result->is_string() ? result->get<std::string>() : std::string());
  });
}

std::vector<std::string> Monitor::complete(std::string_view text) {
  size_t space = text.rfind(' ');
  std::string before(space == text.npos ? "" : text.substr(0, space + 1));
  if (before.starts_with("help ")) before.erase(0, 5);
  if (before.starts_with("? ")) before.erase(0, 2);
  std::vector<std::string> words;
  if (before.empty() || before == "info ") {
    for (const Command* command : all_commands()) {
      for (std::string_view name : names_of(*command)) {
        bool topic = name.starts_with("info ");
        if (topic == before.empty()) continue;
        words.emplace_back(topic ? name.substr(5) : name);
      }
    }
  } else if (before == "device_del ") {
    for (const auto& plugged : context_.site->tree().devices()) {
      if (!plugged->request.id.empty()) words.push_back(plugged->request.id);
    }
  } else if (before == "chardev-remove " || before == "ringbuf_read ") {
    for (const auto& line : context_.chardevs.list()) words.push_back(line.label);
  }
  return words;
}

}  // namespace rhea::monitor
