// The network: -netdev, -nic, -net, and -object filter-dump.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/netdev_options.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

// "-net nic" or the card of a "-nic".
struct NicOptions {
  std::string model;  // empty: the machine's usual one
  std::string mac, name, netdev, addr;
  std::optional<unsigned> vectors;
};

struct NetworkOptions {
  // In the order in which they were given.
  struct Item {
    std::string words;  // for messages: "-nic user"
    std::optional<NicOptions> nic = {};
    std::optional<net::NetdevOptions> back_end = {};
    bool on_hub = false;  // -net
  };
  std::vector<Item> items;
  std::vector<net::DumpOptions> dumps;
  bool said = false;  // the default card is not wanted
};

void add_network_options(Options& to, SystemOptions& options);
// One -object of the kinds that belong to the network. Errors: as parse_dump().
Result<> take_network_object(NetworkOptions& to, const config::KeyValues& values);

}  // namespace rhea::system
