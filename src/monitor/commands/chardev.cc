// Character back ends: what there is, new ones, and what a ring buffer holds.
#include <fmt/format.h>

#include "base/failf.h"
#include "chardev/ringbuf_chardev.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

Result<Json> query_chardev(Call& call) {
  Json list = Json::array();
  for (const auto& line : call.vm.chardevs.list())
    list.push_back({{"frontend-open", line.used}, {"filename", line.description}, {"label", line.label}});
  return list;
}

std::string show_chardev(const Json& list) {
  std::string text;
  for (const Json& line : list)
    text += fmt::format("{}: filename={}\n", line["label"].get<std::string>(),
                        line["filename"].get<std::string>());
  return text;
}

Result<Json> query_backends(Call&) {
  Json list = Json::array();
  for (const char* name :
       {"stdio", "ringbuf", "memory", "mux", "pipe", "null", "socket", "vc", "udp", "file", "pty"})
    list.push_back({{"name", name}});
  return list;
}

// HMP: as -chardev. A server never waits here: the machine would stand still.
Result<Json> add_words(Call& call) {
  auto values = TRY(config::split_options(call.text("args"), "backend"));
  chardev::ChardevSpec spec = TRY(chardev::parse_chardev(std::move(values)));
  if (spec.server && spec.wait.value_or(true))
    return fail(ErrorKind::Invalid, "'wait=on' would hold up the machine; use wait=off");
  TRY(call.vm.chardevs.add(spec, ""));
  return Json();
}

void flatten(const Json& data, config::KeyValues& to) {
  for (const auto& [key, value] : data.items()) {
    if (value.is_object()) {
      // {"addr": {"type": "inet", "data": {"host": …}}}
      flatten(value.contains("data") && value["data"].is_object() ? value["data"] : value, to);
    } else if (value.is_string()) {
      to.push_back({key == "out" ? "path" : key == "device" ? "path" : key, value.get<std::string>()});
    } else if (value.is_boolean()) {
      to.push_back({key, value.get<bool>() ? "on" : "off"});
    } else if (value.is_number()) {
      to.push_back({key, value.dump()});
    }
  }
}

Result<Json> add_backend(Call& call) {
  const Json& backend = call.arguments["backend"];
  if (!backend.contains("type") || !backend["type"].is_string())
    return fail(ErrorKind::Invalid, "Parameter 'backend.type' is missing");
  config::KeyValues values{{"backend", backend["type"].get<std::string>()}, {"id", call.text("id")}};
  if (backend.contains("data") && backend["data"].is_object()) flatten(backend["data"], values);
  // In QMP sockets listen unless told otherwise, and do not wait.
  if (values[0].value == "socket") {
    auto given = [&](std::string_view key) {
      for (const auto& value : values) {
        if (value.key == key) return value.value == "on";
      }
      return key == "server";
    };
    bool server = given("server");
    if (server && given("wait")) return fail(ErrorKind::Invalid, "'wait' would hold up the machine");
    values.push_back({"server", server ? "on" : "off"});
    if (server) values.push_back({"wait", "off"});
  }
  chardev::ChardevSpec spec = TRY(chardev::parse_chardev(std::move(values)));
  TRY(call.vm.chardevs.add(spec, ""));
  Json out = Json::object();
  for (const auto& line : call.vm.chardevs.list()) {
    if (line.label == spec.id && line.description.starts_with("pty:"))
      out["pty"] = line.description.substr(4);
  }
  return out;
}

Result<Json> remove(Call& call) {
  TRY(call.vm.chardevs.remove(call.text("id")));
  return Json();
}

Result<Json> ringbuf_read(Call& call) {
  if (call.number("size") <= 0) return fail(ErrorKind::Invalid, "size must be greater than zero");
  auto* ring = TRY(call.vm.chardevs.find_ringbuf(call.text("device")));
  std::string text = ring->read(static_cast<size_t>(call.number("size")));
  if (call.hmp) return Json(text + "\n");
  return Json(text);
}

Result<Json> ringbuf_write(Call& call) {
  auto* ring = TRY(call.vm.chardevs.find_ringbuf(call.text("device")));
  if (call.has("format") && call.text("format") != "utf8")
    return fail(ErrorKind::Invalid, "only the format 'utf8' is supported");
  std::string data = call.text("data");
  // SAFETY: text is bytes.
  ring->write({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
  return Json();
}

}  // namespace

std::span<const Command> chardev_commands() {
  static const std::vector<Command> rows = {
      {"query-chardev", "info chardev", "", "show the character devices", {}, query_chardev, show_chardev},
      {"query-chardev-backends", nullptr, "", "", {}, query_backends},
      {nullptr, "chardev-add", "args", "add chardev", {{"args", Kind::Rest}}, add_words},
      {"chardev-add", nullptr, "", "", {{"id", Kind::String}, {"backend", Kind::Object}}, add_backend},
      {"chardev-remove", "chardev-remove", "id", "remove chardev", {{"id", Kind::String}}, remove},
      {"ringbuf-read",
       "ringbuf_read",
       "device size",
       "Read from a ring buffer character device",
       {{"device", Kind::String}, {"size", Kind::Integer}, {"format", Kind::String, true, 0, Only::Qmp}},
       ringbuf_read},
      {"ringbuf-write",
       "ringbuf_write",
       "device data",
       "Write to a ring buffer character device",
       {{"device", Kind::String}, {"data", Kind::String}, {"format", Kind::String, true, 0, Only::Qmp}},
       ringbuf_write},
  };
  return rows;
}

}  // namespace rhea::monitor
