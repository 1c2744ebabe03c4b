// Everything of the network that is on the host's side of the machine: the back ends by id, hubs, dumps; and
// what the monitor does with them.
//
// Machine lock held, except while the machine is being built. Outlives the devices that use it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/clock.h"
#include "async/event_loop.h"
#include "net/dump.h"
#include "net/endpoint.h"
#include "net/mac.h"
#include "net/netdev_options.h"

namespace rhea::net {

class Hub;

class Network {
 public:
  struct Wiring {
    async::EventLoop& loop;
    async::Clock& clock;  // virtual
  };
  explicit Network(const Wiring& wiring);
  ~Network();

  // -netdev and netdev_add. Errors: Invalid (also a duplicate id), and whatever the host says.
  Result<> add(const NetdevOptions& options);
  // netdev_del: NICs lose their cable. Errors: NotFound.
  Result<> remove(const std::string& id);
  // The back end for netdev= of a device, which connects itself. Errors: NotFound, Busy.
  Result<Endpoint*> claim(const std::string& id);
  // Plugs the back end into the hub (-net: hub 0). Errors: as claim().
  Result<> put_on_hub(const std::string& id, unsigned hub);
  // A new port of the hub as a back end for a device; its name.
  std::string make_hub_port(unsigned hub);
  // A name for a back end that the user gave none.
  std::string next_name();
  // -object filter-dump. Errors: NotFound, Invalid, Io.
  Result<> add_dump(const DumpOptions& options);

  // The end of a device, until it is destroyed. Without a name it is called "MODEL.0".
  void add_nic(Endpoint& nic, const std::string& name, const std::string& model);
  // 52:54:00:12:34:56 and on, without those that were taken.
  Mac next_mac();
  void take_mac(const Mac& mac);

  // The monitor's commands. The words are as the user typed them; errors are one line.
  std::string info() const;                                                         // info network
  std::string user_info() const;                                                    // info usernet
  Result<> set_link(const std::string& name, bool up);                              // set_link NAME on|off
  Result<std::string> hostfwd_add(const std::string& id, const std::string& rule);  // id may be empty
  Result<std::string> hostfwd_remove(const std::string& id,
                                     const std::string& rule);  // what is to be printed

  // While the machine is stopped no frame reaches a device.
  void set_running(bool running);

  // One line about each back end that nobody uses and each NIC that leads nowhere.
  std::vector<std::string> loose_ends() const;

 private:
  Endpoint* find(const std::string& name) const;
  Result<std::unique_ptr<Endpoint>> make(const NetdevOptions& options);
  Endpoint& adopt(std::unique_ptr<Endpoint> end);
  Hub& hub(unsigned number);
  Result<class UserNet*> user_network(const std::string& id) const;

  Wiring wiring_;
  std::vector<std::unique_ptr<Endpoint>> backends_;  // in the order of making
  std::map<unsigned, std::unique_ptr<Hub>> hubs_;
  std::vector<Endpoint*> nics_;
  std::vector<std::unique_ptr<Dump>> dumps_;
  std::vector<Mac> macs_;
  unsigned next_name_ = 0;
  bool running_ = true;
};

}  // namespace rhea::net
