// The network: what there is, links, forwarded ports, back ends that come and go.
#include "net/network.h"

#include "base/failf.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

namespace {

Result<net::Network*> network_of(Call& call) {
  if (call.vm.network != nullptr) return call.vm.network;
  return fail(ErrorKind::Unsupported, "this machine has no network");
}

Result<Json> info_network(Call& call) {
  const net::Network* network = TRY(network_of(call));
  return Json(network->info());
}

Result<Json> info_usernet(Call& call) {
  const net::Network* network = TRY(network_of(call));
  const std::string text = network->user_info();
  return call.hmp ? Json(text) : Json{{"human-readable-text", text}};
}

Result<Json> set_link(Call& call) {
  net::Network* network = TRY(network_of(call));
  TRY(network->set_link(call.text("name"), call.flag("up")));
  return Json();
}

// One word is the rule, two are the back end and the rule.
Result<Json> forward(Call& call,
                     Result<std::string> (net::Network::*change)(const std::string&, const std::string&)) {
  net::Network* network = TRY(network_of(call));
  const std::string first = call.text("arg1"), second = call.text("arg2");
  const auto text = second.empty() ? (network->*change)("", first) : (network->*change)(first, second);
  if (!text) return Json(text.error().message() + "\n");
  return text->empty() ? Json() : Json(*text);
}
Result<Json> hostfwd_add(Call& call) {
  return forward(call, &net::Network::hostfwd_add);
}
Result<Json> hostfwd_remove(Call& call) {
  return forward(call, &net::Network::hostfwd_remove);
}

Result<Json> add(Call& call, const config::KeyValues& values) {
  net::Network* network = TRY(network_of(call));
  const net::NetdevOptions options = TRY(net::parse_netdev(values));
  TRY(network->add(options));
  return Json();
}
Result<Json> add_words(Call& call) {
  const config::KeyValues values = TRY(config::split_options(call.text("netdev"), "type"));
  return add(call, values);
}
Result<Json> add_object(Call& call) {
  const config::KeyValues values = TRY(config::split_options(write_json(call.arguments), ""));
  return add(call, values);
}

Result<Json> remove(Call& call) {
  net::Network* network = TRY(network_of(call));
  TRY(network->remove(call.text("id")));
  return Json();
}

}  // namespace

std::span<const Command> network_commands() {
  static const std::vector<Command> rows = {
      {nullptr, "info network", "", "show the network state", {}, info_network},
      {"x-query-usernet", "info usernet", "", "show user network stack connection states", {}, info_usernet},
      {"set_link",
       "set_link",
       "name on|off",
       "change the link status of a network adapter",
       {{"name", Kind::String}, {"up", Kind::Boolean}},
       set_link},
      {nullptr,
       "hostfwd_add",
       "[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport",
       "redirect TCP or UDP connections from host to guest (requires -net user)",
       {{"arg1", Kind::String}, {"arg2", Kind::String, true}},
       hostfwd_add},
      {nullptr,
       "hostfwd_remove",
       "[netdev_id] [tcp|udp]:[hostaddr]:hostport",
       "remove host-to-guest TCP or UDP redirection",
       {{"arg1", Kind::String}, {"arg2", Kind::String, true}},
       hostfwd_remove},
      {nullptr,
       "netdev_add",
       "[user|tap|socket|hubport],id=str[,prop=value][,...]",
       "add host network device",
       {{"netdev", Kind::Rest}},
       add_words},
      {"netdev_add",
       nullptr,
       "",
       "",
       {{"type", Kind::String}, {"id", Kind::String}, {"", Kind::Any, true}},
       add_object},
      {"netdev_del", "netdev_del", "id", "remove host network device", {{"id", Kind::String}}, remove},
  };
  return rows;
}

}  // namespace rhea::monitor
