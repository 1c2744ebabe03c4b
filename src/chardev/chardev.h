// Character back ends, as the devices (and monitors) in front of them see them: bytes out, bytes in with flow
// control, breaks, peers that come and go.
//
// A back end never knows which device is behind it. Nothing blocks. All calls, both ways, hold the machine
// lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rhea::chardev {

// What a back end tells its device.
class Frontend {
 public:
  virtual ~Frontend() = default;
  // How many bytes the device can take now. After 0 the back end holds its input until
  // Chardev::resume_input().
  virtual size_t can_receive() = 0;
  virtual void receive(std::span<const uint8_t> bytes) = 0;  // at most can_receive()
  virtual void receive_break() {}
  // After write() took less than it was given: more may be offered now.
  virtual void output_ready() {}
  // A peer is there now (at once when attaching if it was already), or is gone.
  virtual void connected() {}
  virtual void disconnected() {}
  // Behind a multiplexer: input comes here from now on, or no more. Those without one always have it.
  virtual void focus_changed(bool has_it) { static_cast<void>(has_it); }
};

class Chardev {
 public:
  virtual ~Chardev() = default;
  // One device at a time; null detaches. Input that came before is kept.
  virtual void attach(Frontend* frontend) = 0;
  // Takes as many bytes as there is room for and returns how many. Without a peer (no client, no terminal on
  // a pty) all are taken and lost.
  virtual size_t write(std::span<const uint8_t> bytes) = 0;
  // The device can take bytes again.
  virtual void resume_input() = 0;
  virtual bool has_peer() const { return true; }
  // As `info chardev` shows it: "stdio", "pty:/dev/pts/3", "tcp:127.0.0.1:4444,server=on".
  virtual std::string description() const { return {}; }
};

}  // namespace rhea::chardev
