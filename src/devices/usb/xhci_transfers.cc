// Transfers of the controller; see xhci.h. Sections 4.10 and 4.11.
#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "base/log.h"
#include "devices/usb/xhci.h"

namespace rhea::devices {

using namespace xhci;
using bus::usb::Reply;
using bus::usb::Status;

namespace {

constexpr unsigned kMostBlocks = 512;  // in a row, before others have their turn
constexpr uint32_t kLengthMask = 0x1ffff;
constexpr int64_t kTurnNs = 20'000;

}  // namespace

// Until the ring is empty, the device has nothing, or it is somebody else's turn.
void Xhci::run_endpoint(unsigned number, unsigned index) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr || !running()) return;
  Endpoint& endpoint = slot->endpoints[index];
  if (endpoint.state == kEndpointStopped) set_endpoint_state(endpoint, kEndpointRunning);
  for (unsigned i = 0; i < kMostBlocks; ++i) {
    if (endpoint.state != kEndpointRunning || !running()) return;
    Ring before = endpoint.ring;
    Trb trb;
    uint64_t at = 0;
    if (!fetch(endpoint.ring, trb, at)) return;
    if (!run_trb(number, index, trb, at)) {
      if (endpoint.state == kEndpointRunning) endpoint.ring = before;
      return;
    }
  }
  waiting_.emplace_back(number, index);
  later_->arm(wiring_.clock.now_ns() + kTurnNs);
}

// False: the block is not done (Nak), or the endpoint has halted.
bool Xhci::run_trb(unsigned number, unsigned index, const Trb& trb, uint64_t at) {
  Endpoint& endpoint = slots_[number].endpoints[index];
  bool last = (trb.control & kChain) == 0;
  if (endpoint.skip && trb.type() != kEventData) {
    if (last) endpoint.skip = false;
    return true;
  }
  if (trb.type() == kEventData) {
    if (last) endpoint.skip = false;
    if ((trb.control & kInterruptOnCompletion) != 0) {
      post(trb.status >> 22, {trb.parameter, std::min(endpoint.moved, 0xffffffu) | uint32_t{kSuccess} << 24,
                              number << 24 | index << 16 | uint32_t{kTransferEvent} << 10 | kEventDataFlag});
    }
    endpoint.moved = 0;
    return true;
  }
  if (trb.type() == kNoOp) {
    complete(number, index, trb, at, kSuccess, 0);
    return true;
  }
  bus::usb::UsbDevice* device = device_of(slots_[number]);
  if (device == nullptr) {
    halt_endpoint(number, index, trb, at, kTransactionError, trb.status & kLengthMask);
    return false;
  }
  uint32_t length = trb.status & kLengthMask;
  std::vector<uint8_t> data(length);
  Reply reply = transact(*device, index, trb, data);
  switch (reply.status) {
    case Status::Nak: return false;
    case Status::Stall: halt_endpoint(number, index, trb, at, kStallError, length); return false;
    case Status::NoResponse: halt_endpoint(number, index, trb, at, kTransactionError, length); return false;
    case Status::Ack: break;
  }
  auto moved = static_cast<uint32_t>(std::min<size_t>(reply.length, length));
  if (trb.type() != kSetupStage) endpoint.moved += moved;
  bool is_short = moved < length && trb.type() != kSetupStage;
  if (is_short && !last) endpoint.skip = true;
  complete(number, index, trb, at, is_short ? kShortPacket : kSuccess, length - moved);
  if (last && trb.type() != kSetupStage) endpoint.moved = 0;
  return true;
}

Reply Xhci::transact(bus::usb::UsbDevice& device, unsigned index, const Trb& trb,
                     std::vector<uint8_t>& data) {
  unsigned endpoint = index / 2;
  bool in = index == 1 ? (trb.control & kDirectionIn) != 0 : (index & 1) != 0;
  switch (trb.type()) {
    case kSetupStage: {
      std::array<uint8_t, 8> packet{};
      store_le<uint64_t>(packet.data(), trb.parameter);
      return device.setup(packet);
    }
    case kStatusStage: return in ? device.in(endpoint, {}) : device.out(endpoint, {});
    case kNormal:
    case kDataStage: break;
    default: guest_error("xhci: transfer block of type {}", trb.type()); return {Status::NoResponse};
  }
  if (in) {
    Reply reply = device.in(endpoint, data);
    if (reply.status == Status::Ack && reply.length <= data.size() &&
        !dma_write(trb.parameter, std::span(data).first(reply.length)))
      return {Status::NoResponse};
    return reply;
  }
  if ((trb.control & kImmediateData) != 0) {
    if (data.size() > 8) return {Status::NoResponse};
    std::array<uint8_t, 8> immediate{};
    store_le<uint64_t>(immediate.data(), trb.parameter);
    std::copy_n(immediate.begin(), data.size(), data.begin());
  } else if (!data.empty() && !dma_read(trb.parameter, data)) {
    return {Status::NoResponse};
  }
  return device.out(endpoint, data);
}

// 4.11.3: an event if the block asks for one, or came out short and asks then.
void Xhci::complete(unsigned number, unsigned index, const Trb& trb, uint64_t at, Completion code,
                    uint32_t residue) {
  bool wanted = (trb.control & kInterruptOnCompletion) != 0 ||
                (code == kShortPacket && (trb.control & kInterruptOnShort) != 0);
  if (!wanted) return;
  post(trb.status >> 22, {at, (residue & 0xffffff) | uint32_t{code} << 24,
                          number << 24 | index << 16 | uint32_t{kTransferEvent} << 10});
}

void Xhci::halt_endpoint(unsigned number, unsigned index, const Trb& trb, uint64_t at, Completion code,
                         uint32_t residue) {
  Endpoint& endpoint = slots_[number].endpoints[index];
  endpoint.ring.dequeue = at;  // drivers look here for what failed
  endpoint.ring.cycle = (trb.control & kCycle) != 0;
  endpoint.moved = 0;
  endpoint.skip = false;
  set_endpoint_state(endpoint, kEndpointHalted);
  post(trb.status >> 22, {at, (residue & 0xffffff) | uint32_t{code} << 24,
                          number << 24 | index << 16 | uint32_t{kTransferEvent} << 10});
}

}  // namespace rhea::devices
