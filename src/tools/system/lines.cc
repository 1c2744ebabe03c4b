#include "tools/system/lines.h"

#include <cstdio>

#include "base/failf.h"
#include "chardev/open.h"
#include "chardev/socket_chardev.h"

namespace rhea::system {

Result<> Lines::open(const SystemOptions& options) {
  for (const ChardevOptions& c : options.chardevs) TRY_IN(open_chardev(c), "-chardev id=" + c.id);

  std::vector<std::string> serials = options.serials;
  // The terminal with -nographic; otherwise a port with nothing attached, and none with -nodefaults.
  bool from_nographic = serials.empty() && options.nographic && !options.nodefaults;
  if (from_nographic) serials.emplace_back("stdio");
  if (serials.empty() && !options.nodefaults) serials.emplace_back("null");
  for (size_t i = 0; i < serials.size(); ++i) {
    if (serials[i] == "none") {
      serial_.emplace_back(std::nullopt);
      continue;
    }
    bool escapes = options.nographic && serials[i] == "stdio";
    std::string label = "serial" + std::to_string(i);
    serial_.emplace_back(TRY_IN(open_one(serials[i], label, escapes), "-serial " + serials[i]));
  }
  if (options.debugcon && *options.debugcon != "none") {
    debugcon_ = TRY_IN(open_one(*options.debugcon, "debugcon", false), "-debugcon " + *options.debugcon);
  }
  return {};
}

Result<chardev::Chardev*> Lines::open_one(const std::string& words, const std::string& label, bool escapes) {
  if (words.starts_with("chardev:")) return find(words.substr(8));
  auto quit = [this] {
    std::fputs("\r\nTerminated\r\n", stderr);
    vm_.request_exit(0, machine::Cause::HostUi);
  };
  owned_.push_back(TRY(chardev::open_chardev(
      words, {.loop = vm_.loop(), .label = label, .stdio_escapes = escapes, .quit = quit})));
  return owned_.back().get();
}

Result<> Lines::open_chardev(const ChardevOptions& c) {
  if (c.backend == "socket") {
    chardev::SocketChardev::Options socket;
    socket.address = {c.host, c.port, c.path};
    socket.server = c.server;
    socket.wait = c.wait.value_or(true);
    socket.no_delay = c.nodelay;
    if (c.path.empty() == c.port.empty())
      return fail(ErrorKind::Invalid, "a socket needs either 'path' or 'port'");
    owned_.push_back(TRY(chardev::SocketChardev::create(vm_.loop(), socket)));
    by_id_[c.id] = owned_.back().get();
    return {};
  }
  if (!c.host.empty() || !c.port.empty() || c.server || c.wait || c.nodelay) {
    return failf(ErrorKind::Invalid, "host, port, server, wait and nodelay are a socket's, not of '{}'",
                 c.backend);
  }
  bool file = c.backend == "file";
  if (file == c.path.empty())
    return fail(ErrorKind::Invalid, file ? "a file needs 'path'" : "'path' is a file's");
  if (!file && c.backend != "null" && c.backend != "stdio" && c.backend != "pty") {
    return failf(ErrorKind::Invalid,
                 "'{}' is not a character back end; accepted: null, stdio, pty, file, socket", c.backend);
  }
  by_id_[c.id] = TRY(open_one(file ? "file:" + c.path : c.backend, c.id, false));
  return {};
}

Result<chardev::Chardev*> Lines::find(const std::string& id) const {
  auto at = by_id_.find(id);
  if (at == by_id_.end()) return failf(ErrorKind::NotFound, "there is no chardev with id '{}'", id);
  return at->second;
}

}  // namespace rhea::system
