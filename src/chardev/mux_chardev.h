// One back end shared by several front ends: a serial port and the monitor on one terminal. All of them write
// to it; input goes to the one that has the focus, which Ctrl-A c passes on. Ctrl-A (or another character) is
// a prefix: h shows what else there is.
//
// The devices get a port each. The one that attached last has the focus; all hear of it, and of a peer, from
// the event loop, after everything has been set up. Caller holds the machine lock.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "async/event_loop.h"
#include "chardev/chardev.h"

namespace rhea::chardev {

class MuxChardev final : private Frontend {
 public:
  struct Hooks {
    std::function<void()> quit;    // Ctrl-A x
    std::function<void()> commit;  // Ctrl-A s: writes temporary overlays back
  };
  static constexpr unsigned kMostPorts = 4;

  // `escape` is the prefix, 1 for Ctrl-A. The hooks and the base outlive it.
  MuxChardev(async::EventLoop& loop, Chardev& base, uint8_t escape, const Hooks& hooks);
  ~MuxChardev() override;

  // Null: there are kMostPorts already.
  Chardev* add_port();
  Chardev& base() { return base_; }

 private:
  class Port;

  size_t can_receive() override;
  void receive(std::span<const uint8_t> bytes) override;
  void receive_break() override;
  void output_ready() override;
  void connected() override;
  void disconnected() override;

  void escaped(uint8_t byte);
  void say(std::string_view text);
  void help();
  void next_focus();
  void give_focus(Port* port);
  void announce();
  void announce_later();
  size_t write(std::span<const uint8_t> bytes);
  size_t write_stamped(std::span<const uint8_t> bytes);

  async::EventLoop& loop_;
  Chardev& base_;
  uint8_t escape_;
  const Hooks& hooks_;
  std::vector<std::unique_ptr<Port>> ports_;
  Port* focus_ = nullptr;
  bool after_escape_ = false;
  bool stamps_ = false;
  bool line_begins_ = true;
  int64_t first_stamp_ns_ = -1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rhea::chardev
