// User-mode networking: a small router, DHCP, DNS and TFTP server towards the guest (libslirp), ordinary
// sockets towards the host. Needs no privileges.
//
// libslirp 4.7. Missing: smb= (refused), guestfwd= to character devices other than tcp and unix sockets.
// Machine lock held. libslirp is never entered twice: what a guest sends while it works waits in the queue.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/clock.h"
#include "async/event_loop.h"
#include "net/endpoint.h"
#include "net/netdev_options.h"
#include "net/user/addresses.h"
#include "net/user/forward.h"
#include "net/user/guest_line.h"
#include "net/user/slirp_poll.h"

namespace rhea::net {

class UserNet final : public Endpoint {
 public:
  struct Wiring {
    async::EventLoop& loop;
    async::Clock& clock;  // virtual: libslirp's timers stop with the machine
  };
  // Errors: Invalid, Unsupported (smb), and the host's.
  static Result<std::unique_ptr<UserNet>> create(const Wiring& wiring, std::string id,
                                                 const UserOptions& options);
  ~UserNet() override;

  // Errors: Invalid, Io ("Could not set up host forwarding rule '…'").
  Result<> add_forward(const std::string& rule);
  // Whether there was such a rule.
  Result<bool> remove_forward(const std::string& rule);
  // The table of `info usernet`.
  std::string connections() const;

  bool can_receive() override { return !busy_; }
  void receive(Frame frame, const Offload& offload) override;
  Takes takes() const override { return {.partial_checksum = false, .large = true}; }
  std::string info() const override;

 private:
  friend struct UserNetCallbacks;

  UserNet(const Wiring& wiring, std::string id, const UserOptions& options, const UserAddresses& addresses)
      : Endpoint(std::move(id)), wiring_(wiring), options_(options), addresses_(addresses) {}
  Result<> open();
  Result<> forward_guest(const std::string& rule);
  void guarded(const std::function<void()>& call);

  Wiring wiring_;
  UserOptions options_;
  UserAddresses addresses_;
  Slirp* slirp_ = nullptr;
  bool busy_ = false;
  std::unique_ptr<SlirpPoll> poll_;
  std::vector<std::unique_ptr<GuestLine>> lines_;
};

}  // namespace rhea::net
