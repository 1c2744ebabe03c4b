// A viewer's socket: bytes both ways without ever blocking, inside WebSocket frames if it is that kind of
// viewer.
//
// A peer that makes the server answer and does not read is not read from until it does; one that never reads
// holds what is queued, which the caller bounds by sending the next update only when nothing is. Machine
// lock.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "display/vnc/websocket.h"

namespace rhea::display::vnc {

class Connection {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void received(std::span<const uint8_t> bytes) = 0;
    virtual void drained() = 0;  // nothing is queued any more
    // The connection is over. It is not destroyed within the call.
    virtual void ended() = 0;
  };

  // Takes the descriptor in any case.
  static Result<std::unique_ptr<Connection>> create(async::EventLoop& loop, int fd, bool websocket,
                                                    Listener& listener);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // An answer to the peer, or a picture that the caller sends one at a time.
  enum class Kind { Answer, Picture };
  void send(std::span<const uint8_t> bytes, Kind kind = Kind::Answer);
  size_t queued() const { return out_.size() - sent_; }
  void end();
  // Ends once all is sent.
  void end_after_output();
  bool open() const { return fd_ >= 0; }

 private:
  static constexpr size_t kMaxAnswers = 64 << 10;
  enum class Phase : uint8_t { Handshake, Frames, Plain };

  Connection(int fd, bool websocket, Listener& listener)
      : listener_(listener), fd_(fd), phase_(websocket ? Phase::Handshake : Phase::Plain) {}
  void ready(uint32_t events);
  void read_some();
  void arrived(std::span<const uint8_t> bytes);
  void handshake(std::span<const uint8_t> bytes);
  void queue(std::span<const uint8_t> bytes);
  void flush();
  void update_events();

  Listener& listener_;
  int fd_;
  Phase phase_;
  bool ending_ = false;
  WebSocket websocket_;
  std::string request_;
  std::vector<uint8_t> out_;
  size_t sent_ = 0;
  size_t answers_ = 0;  // bytes of answers since nothing was queued
  std::unique_ptr<async::EventLoop::Watch> watch_;
};

}  // namespace rhea::display::vnc
