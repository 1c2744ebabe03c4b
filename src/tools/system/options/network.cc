#include "tools/system/options/network.h"

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

constexpr const char* kModels = "Supported NIC models:\ne1000\ne1000e\nvirtio-net-pci\n";

const config::Group<NicOptions>& nic_group() {
  using O = NicOptions;
  static const config::Group<O> group{
      "nic",
      "",
      {config::text("model", &O::model, "kind of card; model=help lists them"),
       config::text("macaddr", &O::mac, "its Ethernet address"), config::text("mac", &O::mac, "as macaddr"),
       config::text("name", &O::name, "its name in the monitor"),
       config::text("netdev", &O::netdev, "id of its back end; without one it is on hub 0"),
       config::text("addr", &O::addr, "PCI slot[.function], in hexadecimal"),
       config::integer("vectors", &O::vectors, 0u, 2048u, "MSI-X vectors of a virtio card")}};
  return group;
}

Result<NicOptions> parse_nic(const config::KeyValues& values) {
  NicOptions nic;
  TRY(nic_group().apply(values, nic));
  if (nic.model == "help" || nic.model == "?") print_and_exit(kModels);
  return nic;
}

bool asks_for_kinds(std::string_view text) {
  return text == "help" || text == "?";
}

Result<> take_netdev(NetworkOptions& to, std::string_view text) {
  if (asks_for_kinds(text)) print_and_exit(net::netdev_types_help());
  const config::KeyValues values = TRY(config::split_options(text, "type"));
  if (config::asks_for_help(text)) print_and_exit(TRY(net::netdev_help(values.front().value.value_or(""))));
  net::NetdevOptions netdev = TRY(net::parse_netdev(values));
  if (netdev.id.empty()) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  to.items.push_back({.words = "-netdev " + std::string(text), .back_end = std::move(netdev)});
  return {};
}

Result<> take_net(NetworkOptions& to, std::string_view text) {
  if (asks_for_kinds(text)) print_and_exit(net::netdev_types_help() + "nic\nnone\n");
  config::KeyValues values = TRY(config::split_options(text, "type"));
  NetworkOptions::Item item{.words = "-net " + std::string(text), .on_hub = true};
  if (!values.empty() && values.front() == config::KeyValue{"type", "none"} && values.size() == 1) return {};
  if (!values.empty() && values.front() == config::KeyValue{"type", "nic"}) {
    values.erase(values.begin());
    item.nic = TRY(parse_nic(values));
  } else {
    item.back_end = TRY(net::parse_netdev(values));
  }
  to.items.push_back(std::move(item));
  return {};
}

Result<> take_nic(NetworkOptions& to, std::string_view text) {
  if (asks_for_kinds(text)) print_and_exit(std::string(kModels) + "\n" + net::netdev_types_help());
  const config::KeyValues values = TRY(config::split_options(text, "type"));
  if (values.size() == 1 && values.front() == config::KeyValue{"type", "none"}) return {};
  NetworkOptions::Item item{.words = "-nic " + std::string(text)};
  config::KeyValues card, back_end;
  for (const config::KeyValue& entry : values) {
    const bool of_card = entry.key == "model" || entry.key == "mac" || entry.key == "macaddr" ||
                         entry.key == "addr" || entry.key == "vectors";
    (of_card ? card : back_end).push_back(entry);
  }
  item.nic = TRY(parse_nic(card));
  item.back_end = TRY(net::parse_netdev(back_end));
  to.items.push_back(std::move(item));
  return {};
}

}  // namespace

Result<> take_network_object(NetworkOptions& to, const config::KeyValues& values) {
  to.dumps.push_back(TRY(net::parse_dump(values)));
  return {};
}

void add_network_options(Options& to, SystemOptions& options) {
  NetworkOptions& network = options.network;
  const auto row = [&](const char* name, const char* argument, const char* help,
                       Result<> (*take)(NetworkOptions&, std::string_view)) {
    to.push_back({name, argument, help, [&network, take](std::string_view text) {
                    network.said = true;
                    return take(network, text);
                  }});
  };
  row("netdev", "user|tap|socket|hubport,id=ID[,…]",
      "a network back end for -device; -netdev TYPE,help lists its keys", take_netdev);
  row("nic", "none|user|tap|socket|hubport[,model=MODEL][,mac=MAC][,…]", "a network card and its back end",
      take_nic);
  row("net", "none|nic|user|tap|socket[,…]", "a network card, or a back end, on a hub for all of these",
      take_net);
}

}  // namespace rhea::system
