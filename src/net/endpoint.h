// One end of a virtual network cable: the side of a network device, or a back end. Frames go to the other end
// at once if it has room, and wait in its queue, which is bounded, otherwise.
//
// Machine lock held in all calls, both ways. receive() may be called while this end is sending.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "net/offload.h"

namespace rhea::net {

// Sees every frame that passes an endpoint (filter-dump).
class FrameTap {
 public:
  virtual ~FrameTap() = default;
  virtual void frame_passed(Frame frame, bool sent_by_endpoint) = 0;
};

class Endpoint {
 public:
  explicit Endpoint(std::string name) : name_(std::move(name)) {}
  virtual ~Endpoint();  // pulls the cable
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // Both ends are free.
  static void connect(Endpoint& a, Endpoint& b);
  void disconnect();
  Endpoint* peer() const { return peer_; }

  const std::string& name() const { return name_; }
  void rename(std::string name) { name_ = std::move(name); }
  // Called by the destructor: who lists this end takes it off the list.
  void on_leave(std::function<void()> leave) { leave_ = std::move(leave); }

  // A frame without FCS to the other end. Without a cable, or with a link down, it is lost. False: it waits
  // in a queue; room_again() follows when that is empty. A sender need not heed that, but what exceeds the
  // queue is lost.
  bool send(Frame frame, const Offload& offload = {});
  // This end has room again, after can_receive() was false.
  void flush_queued();
  // Frames that wait for this end.
  size_t queued() const { return queue_.size(); }
  void drop_queued();

  // This end's own switch (monitor command set_link), and whether frames pass: both ends are up.
  void set_link(bool up);
  bool link_up() const { return link_up_; }
  bool carrier() const { return peer_ != nullptr && link_up_ && peer_->link_up_; }
  // While held (the machine is stopped) everything for this end waits.
  void set_held(bool held);

  void add_tap(FrameTap& tap) { taps_.push_back(&tap); }
  void remove_tap(FrameTap& tap) { std::erase(taps_, &tap); }

  // What the other end calls.
  virtual bool can_receive() { return true; }
  virtual void receive(Frame frame, const Offload& offload) = 0;
  virtual Takes takes() const { return {}; }
  // What was queued at the other end has gone.
  virtual void room_again() {}
  // The cable was plugged or pulled, or a link switch has moved.
  virtual void carrier_changed() {}
  // For `info network`: "type=user,net=10.0.2.0,restrict=off".
  virtual std::string info() const = 0;

 private:
  struct Queued {
    std::vector<uint8_t> bytes;
    Offload offload;
  };
  static constexpr size_t kMostQueued = 4096;
  static constexpr size_t kMostQueuedBytes = 16u << 20;

  bool pass(Frame frame, const Offload& offload);
  bool deliver(Frame frame, const Offload& offload);
  void enqueue(Frame frame, const Offload& offload);
  void drain();
  bool open() { return !held_ && !delivering_ && can_receive(); }

  std::string name_;
  std::function<void()> leave_;
  Endpoint* peer_ = nullptr;
  bool link_up_ = true;
  bool held_ = false;
  bool delivering_ = false;
  bool refused_ = false;  // the sender waits for room_again()
  std::deque<Queued> queue_;
  size_t queued_bytes_ = 0;
  std::vector<FrameTap*> taps_;
};

}  // namespace rhea::net
