// The sockets of a libslirp instance on the event loop. libslirp says anew before each wait which descriptors
// it wants watched; they are kept in an epoll set of their own, of which only what changed is touched, and
// which is one descriptor to the loop.
//
// Machine lock held.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "async/clock.h"
#include "async/event_loop.h"

struct Slirp;

namespace rhea::net {

class SlirpPoll {
 public:
  // Calls into libslirp are made inside `guard`, which marks it as busy meanwhile.
  using Guard = std::function<void(const std::function<void()>&)>;
  static Result<std::unique_ptr<SlirpPoll>> create(async::EventLoop& loop, async::Clock& clock, Slirp*& slirp,
                                                   Guard guard);
  ~SlirpPoll();

  // libslirp may want to wait for something else now.
  void touch();
  // Its callback: the descriptor is about to be closed.
  void forget(int fd);

 private:
  struct Watched {
    int fd = -1;
    uint32_t events = 0;
    uint32_t ready = 0;
    uint64_t round = 0;
  };

  SlirpPoll(async::EventLoop& loop, async::Clock& clock, Slirp*& slirp, Guard guard)
      : loop_(loop), clock_(clock), slirp_(slirp), guard_(std::move(guard)) {}
  Result<> open();
  void refresh();
  void poll();
  void sockets_ready();
  int want(int fd, int events);
  void apply(Watched& watched, uint32_t events);

  async::EventLoop& loop_;
  async::Clock& clock_;
  Slirp*& slirp_;
  Guard guard_;
  int epoll_ = -1;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  std::unique_ptr<async::Timer> timer_;
  std::unordered_map<int, Watched> watched_;
  std::vector<int> asked_;  // descriptors by the index that libslirp was given
  uint64_t round_ = 0;
  std::shared_ptr<bool> touched_ = std::make_shared<bool>(false);
  std::shared_ptr<SlirpPoll*> self_ = std::make_shared<SlirpPoll*>(this);
};

}  // namespace rhea::net
