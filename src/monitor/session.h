// One client of the monitor on a character back end: bytes in and out with flow control both ways.
//
// Input is handled while nothing is being carried out and the client reads what it is told. Machine lock
// held.
#pragma once

#include <string>
#include <string_view>

#include "chardev/chardev.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

class Session : public chardev::Frontend {
 public:
  Session(Monitor& monitor, chardev::Chardev& line) : monitor_(monitor), line_(line) {}
  ~Session() override { line_.attach(nullptr); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  virtual void event(const Json& event) { static_cast<void>(event); }

  size_t can_receive() final { return held_up() ? 0 : kChunk; }
  void receive(std::span<const uint8_t> bytes) final;
  void output_ready() final;
  void connected() override {}
  void disconnected() override;

 protected:
  // Handles input from the front and returns how much of it; less than all after begin_work().
  virtual size_t handle(std::string_view input) = 0;
  void attach() { line_.attach(this); }
  void send(std::string_view bytes);
  // Runs `work` later as monitor.h says. Until end_work() no more input is handled.
  void begin_work(std::function<void()> work);
  void end_work();
  bool busy() const { return busy_; }
  // The client reads nothing: tell it no more than it must know.
  bool lags() const { return output_.size() > kMostWaiting; }

  Monitor& monitor_;
  unsigned cpu_ = 0;  // that `info registers` and others are about

 private:
  static constexpr size_t kChunk = 4096;
  static constexpr size_t kMostWaiting = size_t{256} << 10;
  bool held_up() const { return busy_ || !input_.empty() || lags(); }
  void go_on();
  void flush();

  chardev::Chardev& line_;
  std::string input_, output_;
  bool busy_ = false;
};

}  // namespace rhea::monitor
