// VNC: who looks, where, and with which password; events as viewers come and go.
#include <charconv>

#include "base/failf.h"
#include "display/vnc/info.h"
#include "display/vnc/servers.h"
#include "monitor/command.h"
#include "monitor/vnc_events.h"

namespace rhea::monitor {

namespace {

using display::vnc::Endpoint;
using display::vnc::Server;
using display::vnc::Servers;

Json endpoint(const Endpoint& at) {
  return {{"host", at.host}, {"service", at.service}, {"family", at.family}, {"websocket", at.websocket}};
}

Json server_endpoint(const Endpoint& at, const Server& server) {
  Json json = endpoint(at);
  json["auth"] = server.auth_name();
  return json;
}

Json clients_of(const Server& server) {
  Json list = Json::array();
  for (const Server::ClientInfo& client : server.clients()) list.push_back(endpoint(client.peer));
  return list;
}

Result<Json> query_vnc(Call& call) {
  const Server* server = call.vm.vnc != nullptr ? call.vm.vnc->find() : nullptr;
  if (server == nullptr) return Json{{"enabled", false}};
  Json json{{"enabled", true}, {"auth", server->auth_name()}, {"clients", clients_of(*server)}};
  for (const Endpoint& at : server->listening()) {
    if (at.websocket) continue;
    json["host"] = at.host;
    json["service"] = at.service;
    json["family"] = at.family;
  }
  return json;
}

Result<Json> query_vnc_servers(Call& call) {
  Json list = Json::array();
  if (call.vm.vnc == nullptr) return list;
  for (const Servers::Named& named : call.vm.vnc->all()) {
    Json places = Json::array();
    for (const Endpoint& at : named.server->listening()) places.push_back(server_endpoint(at, *named.server));
    list.push_back({{"id", named.id},
                    {"server", places},
                    {"clients", clients_of(*named.server)},
                    {"auth", named.server->auth_name()}});
  }
  return list;
}

Result<Json> info_vnc(Call& call) {
  std::string text;
  if (call.vm.vnc != nullptr) {
    for (const Servers::Named& named : call.vm.vnc->all())
      text += display::vnc::info_text(named.id, *named.server);
  }
  return Json(text.empty() ? "None\n" : text);
}

// People are told what to do about it.
Result<Json> set_on(Call& call, const std::string& id, const std::string& password) {
  if (auto done = set_vnc_password(call.vm, id, password); !done) {
    const Server* server = call.vm.vnc != nullptr ? call.vm.vnc->find(id) : nullptr;
    if (call.hmp && server != nullptr)
      return Json(
          "If you want use passwords please enable password auth using '-vnc ${dpy},password'.\n"
          "Error: Could not set password\n");
    return std::unexpected(done.error());
  }
  return Json();
}

Result<> check_protocol(Call& call) {
  const std::string protocol = call.text("protocol");
  if (protocol == "vnc") return {};
  if (protocol == "spice") return fail(ErrorKind::Invalid, "SPICE is not in use");
  return failf(ErrorKind::Invalid, "Parameter 'protocol' does not accept value '{}'", protocol);
}

Result<Json> set_password(Call& call) {
  TRY(check_protocol(call));
  if (call.has("connected") && call.text("connected") != "keep")
    return fail(ErrorKind::Invalid, "parameter 'connected' must be 'keep' when 'protocol' is 'vnc'");
  return set_on(call, call.text("display"), call.text("password"));
}

Result<Json> change_vnc_password(Call& call) {
  return set_on(call, {}, call.text("password"));
}

// "now", "never", "+SECONDS" from now, "SECONDS" since 1970.
Result<std::optional<int64_t>> parse_expiry(std::string_view text, int64_t now) {
  if (text == "now") return now;
  if (text == "never") return std::nullopt;
  const bool relative = text.starts_with('+');
  const std::string_view digits = text.substr(relative ? 1 : 0);
  int64_t seconds = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  constexpr int64_t kMost = int64_t{1} << 40;
  if (error != std::errc() || stop != digits.data() + digits.size() || seconds < 0 || seconds > kMost)
    return failf(ErrorKind::Invalid, "Parameter 'time' expects now, never, +SECONDS or SECONDS, not '{}'",
                 text);
  return relative ? now + seconds : seconds;
}

Result<Json> expire_password(Call& call) {
  TRY(check_protocol(call));
  Server* server = call.vm.vnc != nullptr ? call.vm.vnc->find(call.text("display")) : nullptr;
  if (server == nullptr) return fail(ErrorKind::Invalid, "Could not set password expire time");
  const int64_t now = server->loop().host_clock().now_ns() / 1'000'000'000;
  server->set_password_expiry(TRY(parse_expiry(call.text("time"), now)));
  return Json();
}

}  // namespace

Result<> set_vnc_password(Context& vm, const std::string& id, const std::string& password) {
  Server* server = vm.vnc != nullptr ? vm.vnc->find(id) : nullptr;
  if (server == nullptr || !server->needs_password())
    return fail(ErrorKind::Invalid, "Could not set password");
  server->set_password(password);
  return {};
}

void forward_vnc_events(Servers& servers, const Context& to) {
  servers.on_event([&to](Server::Event event, const Server& server, const Server::ClientInfo& client) {
    constexpr const char* kNames[] = {"VNC_CONNECTED", "VNC_INITIALIZED", "VNC_DISCONNECTED"};
    if (!to.emit) return;
    const Json data{{"server", server_endpoint(client.local, server)}, {"client", endpoint(client.peer)}};
    to.emit(kNames[static_cast<unsigned>(event)], write_json(data));
  });
}

std::span<const Command> vnc_commands() {
  static const std::vector<Command> rows = {
      {"query-vnc", nullptr, "", "", {}, query_vnc},
      {"query-vnc-servers", nullptr, "", "", {}, query_vnc_servers},
      {nullptr, "info vnc", "", "show the vnc server status", {}, info_vnc},
      {"change-vnc-password", nullptr, "", "", {{"password", Kind::String}}, change_vnc_password},
      {"set_password",
       "set_password",
       "protocol password [-d display] [action-if-connected]",
       "set spice/vnc password",
       {{"protocol", Kind::String},
        {"password", Kind::String},
        {"display", Kind::String, true, 'd'},
        {"connected", Kind::String, true}},
       set_password},
      {"expire_password",
       "expire_password",
       "protocol time [-d display]",
       "set spice/vnc password expire-time",
       {{"protocol", Kind::String}, {"time", Kind::String}, {"display", Kind::String, true, 'd'}},
       expire_password},
  };
  return rows;
}

}  // namespace rhea::monitor
