// A back end over file descriptors: bounded queues both ways, moved by the event loop when the descriptors
// are ready.
#pragma once

#include <memory>
#include <vector>

#include "async/event_loop.h"
#include "chardev/chardev.h"

namespace rhea::chardev {

class FdChardev : public Chardev {
 public:
  ~FdChardev() override;
  void attach(Frontend* frontend) override;
  size_t write(std::span<const uint8_t> bytes) override;
  void resume_input() override;
  bool has_peer() const override { return is_open(); }

 protected:
  explicit FdChardev(async::EventLoop& loop) : loop_(loop) {}
  FdChardev(const FdChardev&) = delete;
  FdChardev& operator=(const FdChardev&) = delete;

  // Begins to use these; either may be -1, both may be the same. They stay the caller's to close.
  Result<> open(int input_fd, int output_fd);
  // Stops using them; output that is queued is lost. The frontend hears of it when it was the peer that left.
  void close();
  bool is_open() const { return input_fd_ >= 0 || output_fd_ >= 0; }
  // Waits at most `milliseconds` for the queued output to leave.
  void drain(int milliseconds);

  // What the host sent; the default passes it on. A filter may take bytes out.
  virtual void input(std::span<const uint8_t> bytes) { queue_input(bytes); }
  // The other side closed or failed, as seen when reading or writing. The default closes both ways.
  enum class Side { Input, Output };
  virtual void hung_up(Side) { close(); }
  void close_input();
  void queue_input(std::span<const uint8_t> bytes);
  void receive_break();

  async::EventLoop& loop_;
  Frontend* frontend_ = nullptr;

 private:
  Result<> watch_both();
  void left(Side side);
  bool unfinished() const;
  void end_input();
  void end_if_finished();
  void input_ready(uint32_t events);
  void output_ready(uint32_t events);
  void read_some();
  void deliver();
  bool flush();
  void update_watches();

  int input_fd_ = -1;
  int output_fd_ = -1;
  std::unique_ptr<async::EventLoop::Watch> input_watch_;
  std::unique_ptr<async::EventLoop::Watch> output_watch_;  // null when both are one descriptor
  std::vector<uint8_t> from_host_;
  std::vector<uint8_t> to_host_;
  bool device_waits_ = false;  // write() refused something
  // The peer has said its last word; what it said before is still being handled, for a while at most.
  bool ended_ = false;
  bool output_lost_ = false;  // writing has failed; what is written now is dropped
  std::unique_ptr<async::Timer> end_timer_;
};

}  // namespace rhea::chardev
