#include "monitor/hmp_session.h"

#include <fmt/format.h>

#include <sstream>

namespace rhea::monitor {

HmpSession::HmpSession(Monitor& monitor, chardev::Chardev& line)
    : Session(monitor, line),
      readline_("(qemu) ", {.print = [this](std::string_view text) { print(text); },
                            .line = [this](std::string text) { run(std::move(text)); },
                            .complete = [this](std::string_view text) { return monitor_.complete(text); }}) {
  attach();
}

void HmpSession::print(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() + 16);
  for (char c : text) {
    if (c == '\n') bytes += '\r';
    bytes += c;
  }
  send(bytes);
}

void HmpSession::connected() {
  has_peer_ = true;
  if (has_focus_) greet();
}

void HmpSession::disconnected() {
  Session::disconnected();
  readline_.restart();
  has_peer_ = greeted_ = false;
}

void HmpSession::focus_changed(bool has_it) {
  has_focus_ = has_it;
  if (!has_it || !has_peer_) return;
  if (!greeted_) return greet();
  if (!busy()) readline_.show();
}

void HmpSession::greet() {
  greeted_ = true;
  print(fmt::format("QEMU {} monitor - type 'help' for more information\n", monitor_.context().version));
  readline_.show();
}

size_t HmpSession::handle(std::string_view input) {
  size_t used = 0;
  while (used < input.size() && !busy()) readline_.handle(static_cast<uint8_t>(input[used++]));
  return used;
}

// A password is asked for rather than left on the screen.
bool HmpSession::asks_for_password(std::string_view line) {
  std::istringstream words{std::string(line)};
  std::string command, what, target, more;
  words >> command >> what >> target >> more;
  if (command != "change" || what != "vnc" || (target != "password" && target != "passwd") || !more.empty())
    return false;
  readline_.ask_secret("Password: ", [this](std::string_view password) {
    std::string quoted;
    for (const char c : password) quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    run("change vnc password \"" + quoted + '"');
  });
  return true;
}

void HmpSession::run(std::string line) {
  if (asks_for_password(line)) return;
  begin_work([this, line = std::move(line)] {
    if (line != "info history")
      return monitor_.run_line(line, cpu_, [this](const std::string& text) { told(text); });
    std::string text;
    const auto& history = readline_.history();
    for (size_t i = 0; i < history.size(); ++i) text += fmt::format("{}: '{}'\n", i, history[i]);
    told(text);
  });
}

void HmpSession::told(const std::string& text) {
  std::scoped_lock hold(monitor_.context().vm.lock());
  print(text);
  if (has_focus_) readline_.show();
  end_work();
}

}  // namespace rhea::monitor
