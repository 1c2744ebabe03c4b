#include "net/endpoint.h"

#include "base/check.h"

namespace rhea::net {

Endpoint::~Endpoint() {
  if (leave_) leave_();
  disconnect();
}

void Endpoint::connect(Endpoint& a, Endpoint& b) {
  CHECK(a.peer_ == nullptr && b.peer_ == nullptr && &a != &b);
  a.peer_ = &b;
  b.peer_ = &a;
  a.carrier_changed();
  b.carrier_changed();
}

void Endpoint::disconnect() {
  if (peer_ == nullptr) return;
  Endpoint& other = *peer_;
  peer_ = nullptr;
  other.peer_ = nullptr;
  drop_queued();
  other.drop_queued();
  refused_ = other.refused_ = false;
  other.carrier_changed();
}

void Endpoint::drop_queued() {
  queue_.clear();
  queued_bytes_ = 0;
}

bool Endpoint::send(Frame frame, const Offload& offload) {
  if (!carrier() || frame.size() < kEthernetHeader || frame.size() > kLargestFrame) return true;
  const Takes takes = peer_->takes();
  const bool plain = offload.gso == Gso::None && !offload.checksum_wanted;
  const bool as_it_is = plain || (takes.partial_checksum && (takes.large || offload.gso == Gso::None));
  if (as_it_is) return pass(frame, offload);
  bool gone = true;
  resolve(frame, offload, takes, [&](Frame part, const Offload& left) { gone = pass(part, left); });
  return gone;
}

bool Endpoint::pass(Frame frame, const Offload& offload) {
  for (FrameTap* tap : taps_) tap->frame_passed(frame, true);
  if (peer_ == nullptr) return true;
  for (FrameTap* tap : peer_->taps_) tap->frame_passed(frame, false);
  return peer_->deliver(frame, offload);
}

bool Endpoint::deliver(Frame frame, const Offload& offload) {
  if (!queue_.empty() || !open()) {
    enqueue(frame, offload);
    refused_ = true;
    return false;
  }
  delivering_ = true;
  receive(frame, offload);
  delivering_ = false;
  if (!queue_.empty()) drain();  // what came meanwhile
  return true;
}

void Endpoint::enqueue(Frame frame, const Offload& offload) {
  if (queue_.size() >= kMostQueued || queued_bytes_ + frame.size() > kMostQueuedBytes) return;
  queue_.push_back({{frame.begin(), frame.end()}, offload});
  queued_bytes_ += frame.size();
}

void Endpoint::drain() {
  while (!queue_.empty() && open()) {
    const Queued next = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= next.bytes.size();
    if (!link_up_) continue;
    delivering_ = true;
    receive(next.bytes, next.offload);
    delivering_ = false;
  }
  if (!queue_.empty() || !refused_) return;
  refused_ = false;
  if (peer_ != nullptr) peer_->room_again();
}

void Endpoint::flush_queued() {
  if (!delivering_) drain();
}

void Endpoint::set_link(bool up) {
  if (up == link_up_) return;
  link_up_ = up;
  if (!up) drop_queued();
  carrier_changed();
  if (peer_ != nullptr) peer_->carrier_changed();
}

void Endpoint::set_held(bool held) {
  held_ = held;
  if (!held) flush_queued();
}

}  // namespace rhea::net
