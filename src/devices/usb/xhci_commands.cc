// Commands of the controller: slots, devices, endpoints; see xhci.h. Section 4.6.
#include <algorithm>

#include "base/log.h"
#include "devices/usb/xhci.h"

namespace rhea::devices {

using namespace xhci;

namespace {

constexpr unsigned kMostCommands = 256;
constexpr uint32_t kSlotStateShift = 27, kAddressMask = 0xff;

}  // namespace

void Xhci::run_commands() {
  commands_run_ = true;
  for (unsigned i = 0; i < kMostCommands && commands_run_ && running(); ++i) {
    Trb trb;
    uint64_t at = 0;
    if (!fetch(commands_, trb, at)) return;
    execute(trb, at);
  }
}

void Xhci::execute(const Trb& trb, uint64_t at) {
  unsigned slot = trb.control >> 24, endpoint = trb.control >> 16 & 31;
  Completion code = kTrbError;
  switch (trb.type()) {
    case kNoOpCommand: code = kSuccess; break;
    case kEnableSlot: code = enable_slot(slot); break;
    case kDisableSlot: code = disable_slot(slot); break;
    case kAddressDevice: code = address_device(slot, trb); break;
    case kConfigureEndpoint: code = configure_endpoints(slot, trb); break;
    case kEvaluateContext: code = evaluate_context(slot, trb.parameter & ~uint64_t{15}); break;
    case kResetEndpoint: code = reset_endpoint(slot, endpoint); break;
    case kStopEndpoint: code = stop_endpoint(slot, endpoint); break;
    case kSetDequeue: code = set_dequeue(slot, endpoint, trb); break;
    case kResetDevice: code = reset_device(slot); break;
    default: guest_error("xhci: unknown command {}", trb.type()); break;
  }
  post(0, {at, uint32_t{code} << 24, slot << 24 | uint32_t{kCommandCompletion} << 10});
}

Xhci::Slot* Xhci::enabled_slot(unsigned number) {
  return number >= 1 && number < slots_.size() && slots_[number].enabled ? &slots_[number] : nullptr;
}

Completion Xhci::enable_slot(unsigned& slot) {
  unsigned most = std::min<unsigned>(configure_ & 0xff, static_cast<unsigned>(slots_.size() - 1));
  for (unsigned i = 1; i <= most; ++i) {
    if (slots_[i].enabled) continue;
    slots_[i] = {};
    slots_[i].enabled = true;
    slot = i;
    return kSuccess;
  }
  slot = 0;
  return kNoSlots;
}

Completion Xhci::disable_slot(unsigned number) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  *slot = {};
  return kSuccess;
}

// State and address of the device into its context (6.2.2).
void Xhci::store_slot_state(Slot& slot) {
  uint32_t word = uint32_t{slot.state} << kSlotStateShift | slot.address;
  write_words(slot.context + 12, {&word, 1});
}

void Xhci::set_endpoint_state(Endpoint& endpoint, uint8_t state) {
  endpoint.state = state;
  std::array<uint32_t, 4> words{};
  if (!read_words(endpoint.context, words)) return;
  words[0] = (words[0] & ~7u) | state;
  words[2] = static_cast<uint32_t>(endpoint.ring.dequeue) | (endpoint.ring.cycle ? 1u : 0u);
  words[3] = static_cast<uint32_t>(endpoint.ring.dequeue >> 32);
  write_words(endpoint.context, words);
}

// 4.6.5
Completion Xhci::address_device(unsigned number, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  uint64_t input = trb.parameter & ~uint64_t{15};
  std::array<uint32_t, 2> flags{};
  std::array<uint32_t, 8> slot_words{};
  std::array<uint32_t, 2> pointer{};
  if (!read_words(input, flags) || !read_words(input + kContextSize, slot_words) ||
      !read_words(contexts_ + uint64_t{number} * 8, pointer))
    return kTrbError;
  bool block = (trb.control & kBlockSetAddress) != 0;
  if (flags[0] != 0 || (flags[1] & 3) != 3) return kParameterError;
  if (slot->state != kSlotDisabled && (block || slot->state != kSlotDefault)) return kContextStateError;
  slot->port = static_cast<uint8_t>(slot_words[1] >> 16);
  slot->route = slot_words[0] & 0xfffff;
  slot->interrupter = static_cast<uint16_t>(slot_words[2] >> 22);
  slot->context = (pointer[0] | uint64_t{pointer[1]} << 32) & ~uint64_t{63};
  bus::usb::UsbDevice* device = device_of(*slot);
  if (device == nullptr) return kTransactionError;
  slot->state = block ? kSlotDefault : kSlotAddressed;
  slot->address = 0;
  if (!block) {
    slot->address = static_cast<uint8_t>(number);
    const std::array<uint8_t, 8> set_address = {0, 5, static_cast<uint8_t>(number), 0, 0, 0, 0, 0};
    device->setup(set_address);
    device->in(0, {});
  }
  slot_words[3] = uint32_t{slot->state} << kSlotStateShift | (slot->address & kAddressMask);
  if (!write_words(slot->context, slot_words) || !enable_endpoint(*slot, 1, input + 2 * kContextSize))
    return kTrbError;
  return kSuccess;
}

// Takes the endpoint's context from the input and lets it run (4.6.6).
bool Xhci::enable_endpoint(Slot& slot, unsigned index, uint64_t input_context) {
  std::array<uint32_t, 8> words{};
  if (!read_words(input_context, words)) return false;
  Endpoint& endpoint = slot.endpoints[index];
  endpoint = {};
  endpoint.type = words[1] >> 3 & 7;
  endpoint.context = slot.context + uint64_t{index} * kContextSize;
  uint64_t dequeue = words[2] | uint64_t{words[3]} << 32;
  endpoint.ring = {dequeue & ~uint64_t{15}, (dequeue & 1) != 0};
  endpoint.state = kEndpointRunning;
  words[0] = (words[0] & ~7u) | kEndpointRunning;
  return write_words(endpoint.context, words);
}

void Xhci::disable_endpoint(Slot& slot, unsigned index) {
  if (slot.endpoints[index].state == kEndpointDisabled) return;
  set_endpoint_state(slot.endpoints[index], kEndpointDisabled);
  slot.endpoints[index] = {};
}

Completion Xhci::configure_endpoints(unsigned number, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (slot->state != kSlotAddressed && slot->state != kSlotConfigured) return kContextStateError;
  if ((trb.control & kDeconfigure) != 0) {
    for (unsigned i = 2; i <= kEndpoints; ++i) disable_endpoint(*slot, i);
    slot->state = kSlotAddressed;
    store_slot_state(*slot);
    return kSuccess;
  }
  uint64_t input = trb.parameter & ~uint64_t{15};
  std::array<uint32_t, 2> flags{};
  std::array<uint32_t, 4> slot_words{};
  if (!read_words(input, flags) || !read_words(input + kContextSize, slot_words)) return kTrbError;
  if ((flags[0] & 3) != 0 || (flags[1] & 1) == 0) return kParameterError;
  uint32_t entries = 0;
  for (unsigned i = 2; i <= kEndpoints; ++i) {
    if ((flags[0] >> i & 1) != 0) disable_endpoint(*slot, i);
    if ((flags[1] >> i & 1) != 0) {
      disable_endpoint(*slot, i);
      if (!enable_endpoint(*slot, i, input + uint64_t{i + 1} * kContextSize)) return kTrbError;
    }
    if (slot->endpoints[i].state != kEndpointDisabled) entries = i;
  }
  slot->state = entries != 0 ? kSlotConfigured : kSlotAddressed;
  std::array<uint32_t, 4> out{};
  if (!read_words(slot->context, out)) return kTrbError;
  out[0] = (slot_words[0] & 0x07ffffff) | std::max(entries, 1u) << 27;
  out[1] = slot_words[1];
  out[2] = slot_words[2];
  out[3] = uint32_t{slot->state} << kSlotStateShift | slot->address;
  return write_words(slot->context, out) ? kSuccess : kTrbError;
}

// 4.6.7: maximum exit latency and interrupter of the slot, packet size of the control endpoint.
Completion Xhci::evaluate_context(unsigned number, uint64_t input) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (slot->state == kSlotDisabled) return kContextStateError;
  std::array<uint32_t, 2> flags{};
  std::array<uint32_t, 4> in{}, out{};
  if (!read_words(input, flags)) return kTrbError;
  if (flags[0] != 0 || (flags[1] & ~3u) != 0) return kParameterError;
  if ((flags[1] & 1) != 0) {
    if (!read_words(input + kContextSize, in) || !read_words(slot->context, out)) return kTrbError;
    out[1] = (out[1] & ~0xffffu) | (in[1] & 0xffff);
    out[2] = (out[2] & 0x3fffff) | (in[2] & ~0x3fffffu);
    slot->interrupter = static_cast<uint16_t>(in[2] >> 22);
    write_words(slot->context, out);
  }
  if ((flags[1] & 2) != 0) {
    if (!read_words(input + 2 * kContextSize, in) || !read_words(slot->context + kContextSize, out))
      return kTrbError;
    out[1] = (out[1] & 0xffff) | (in[1] & 0xffff0000);
    write_words(slot->context + kContextSize, out);
  }
  return kSuccess;
}

Completion Xhci::reset_endpoint(unsigned number, unsigned index) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (index < 1) return kTrbError;
  if (slot->endpoints[index].state != kEndpointHalted) return kContextStateError;
  slot->endpoints[index].skip = false;
  set_endpoint_state(slot->endpoints[index], kEndpointStopped);
  return kSuccess;
}

// 4.6.9: what was under way is told by an event, so that the driver knows how far it came.
Completion Xhci::stop_endpoint(unsigned number, unsigned index) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (index < 1) return kTrbError;
  Endpoint& endpoint = slot->endpoints[index];
  if (endpoint.state != kEndpointRunning) return kContextStateError;
  set_endpoint_state(endpoint, kEndpointStopped);
  Ring ahead = endpoint.ring;
  Trb trb;
  uint64_t at = 0;
  if (fetch(ahead, trb, at)) {
    post(slot->interrupter, {at, (trb.status & 0x1ffff) | uint32_t{kStopped} << 24,
                             number << 24 | index << 16 | uint32_t{kTransferEvent} << 10});
  }
  return kSuccess;
}

Completion Xhci::set_dequeue(unsigned number, unsigned index, const Trb& trb) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (index < 1) return kTrbError;
  Endpoint& endpoint = slot->endpoints[index];
  if (endpoint.state != kEndpointStopped && endpoint.state != kEndpointError) return kContextStateError;
  endpoint.ring = {trb.parameter & ~uint64_t{15}, (trb.parameter & 1) != 0};
  endpoint.skip = false;
  endpoint.moved = 0;
  set_endpoint_state(endpoint, kEndpointStopped);
  return kSuccess;
}

// 4.6.11
Completion Xhci::reset_device(unsigned number) {
  Slot* slot = enabled_slot(number);
  if (slot == nullptr) return kSlotNotEnabled;
  if (slot->state != kSlotAddressed && slot->state != kSlotConfigured) return kContextStateError;
  for (unsigned i = 2; i <= kEndpoints; ++i) disable_endpoint(*slot, i);
  slot->state = kSlotDefault;
  slot->address = 0;
  store_slot_state(*slot);
  return kSuccess;
}

}  // namespace rhea::devices
