#include "chardev/chardevs.h"

#include <cstdio>

#include "base/failf.h"
#include "chardev/file_chardev.h"
#include "chardev/logging_chardev.h"
#include "chardev/null_chardev.h"
#include "chardev/pipe_chardev.h"
#include "chardev/pty_chardev.h"
#include "chardev/ringbuf_chardev.h"
#include "chardev/stdio_chardev.h"
#include "chardev/udp_chardev.h"

namespace rhea::chardev {

namespace {

Result<std::unique_ptr<Chardev>> open_pty(async::EventLoop& loop, const std::string& name) {
  auto opened = TRY(PtyChardev::create(loop));
  std::printf("char device redirected to %s (label %s)\n", opened->terminal().c_str(), name.c_str());
  std::fflush(stdout);
  return opened;
}

Result<std::unique_ptr<Chardev>> open_udp_line(async::EventLoop& loop, const ChardevSpec& spec) {
  SocketAddress remote{
      .host = spec.host, .port = spec.port, .path = "", .ipv4 = spec.ipv4, .ipv6 = spec.ipv6};
  SocketAddress local{.host = spec.localaddr, .port = spec.localport, .path = ""};
  return UdpChardev::create(loop, remote, local);
}

}  // namespace

Chardevs::~Chardevs() {
  for (auto& [name, entry] : entries_) entry.mux.reset();
}

Result<std::unique_ptr<Chardev>> Chardevs::make(const ChardevSpec& spec, const std::string& name,
                                                Entry& entry) {
  const std::string& backend = spec.backend;
  if (backend == "null") return std::make_unique<NullChardev>();
  if (backend == "stdio") {
    if (stdio_taken_) return fail(ErrorKind::Busy, "cannot use stdio by multiple character devices");
    entry.is_stdio = stdio_taken_ = true;
    return StdioChardev::create(loop_, spec.signal.value_or(stdio_signals_));
  }
  if (backend == "pty") return open_pty(loop_, name);
  if (backend == "file") return FileChardev::create(loop_, spec.path, spec.append);
  if (backend == "pipe") return PipeChardev::create(loop_, spec.path);
  if (backend == "socket") {
    auto options = TRY(socket_options(spec));
    return SocketChardev::create(loop_, std::move(options));
  }
  if (backend == "udp") return open_udp_line(loop_, spec);
  if (backend == "ringbuf" || backend == "memory") {
    auto made = std::make_unique<RingbufChardev>(spec.size);
    entry.ringbuf = made.get();
    return made;
  }
  if (backend == "vc" && make_vc_) {
    ChardevSpec named = spec;
    named.id = name;
    return make_vc_(named);
  }
  return failf(ErrorKind::Unsupported, "'{}' is not supported here", backend);
}

Result<> Chardevs::add(const ChardevSpec& spec, const std::string& label) {
  const std::string& name = spec.id.empty() ? label : spec.id;
  if (entries_.contains(name)) return failf(ErrorKind::Busy, "Duplicate ID '{}' for chardev", name);
  Entry entry;
  entry.chardev = TRY(make(spec, name, entry));
  if (!spec.logfile.empty())
    entry.chardev = TRY(LoggingChardev::create(std::move(entry.chardev), spec.logfile, spec.logappend));
  if (spec.mux.value_or(false))
    entry.mux = std::make_unique<MuxChardev>(loop_, *entry.chardev, escape_, hooks_);
  entries_.emplace(name, std::move(entry));
  return {};
}

Result<Chardev*> Chardevs::take(const std::string& id) {
  auto found = entries_.find(id);
  if (found == entries_.end()) return failf(ErrorKind::NotFound, "chardev \"{}\" not found", id);
  Entry& entry = found->second;
  if (entry.mux) {
    Chardev* port = entry.mux->add_port();
    if (port == nullptr) return failf(ErrorKind::Busy, "chardev '{}' has {} users already", id, entry.users);
    ++entry.users;
    return port;
  }
  if (entry.users != 0) return failf(ErrorKind::Busy, "Device '{}' is in use", id);
  ++entry.users;
  return entry.chardev.get();
}

void Chardevs::give_back(const std::string& id) {
  auto found = entries_.find(id);
  if (found != entries_.end() && found->second.users != 0) --found->second.users;
}

Result<Chardev*> Chardevs::open(const std::string& words, const std::string& label) {
  if (words.starts_with("chardev:")) return take(words.substr(8));
  ChardevSpec spec = TRY(parse_words(words));
  TRY(add(spec, label));
  return take(label);
}

Result<> Chardevs::remove(const std::string& id) {
  auto found = entries_.find(id);
  if (found == entries_.end()) return failf(ErrorKind::NotFound, "Chardev '{}' not found", id);
  if (found->second.users != 0) return failf(ErrorKind::Busy, "Chardev '{}' is busy", id);
  if (found->second.is_stdio) stdio_taken_ = false;
  found->second.mux.reset();
  entries_.erase(found);
  return {};
}

std::vector<Chardevs::Line> Chardevs::list() const {
  std::vector<Line> lines;
  for (const auto& [name, entry] : entries_) {
    std::string base = entry.chardev->description();
    lines.push_back({name, entry.mux ? "mux" : base, entry.users != 0});
    if (entry.mux) lines.push_back({name + "-base", base, true});
  }
  return lines;
}

Result<RingbufChardev*> Chardevs::find_ringbuf(const std::string& id) const {
  auto found = entries_.find(id);
  if (found == entries_.end()) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
  if (found->second.ringbuf == nullptr) return failf(ErrorKind::Invalid, "{} is not a ringbuf device", id);
  return found->second.ringbuf;
}

}  // namespace rhea::chardev
