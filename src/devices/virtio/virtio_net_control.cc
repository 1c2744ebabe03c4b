// The control queue, the filters it sets, and the saved state of virtio-net. VIRTIO 1.2, 5.1.6.5.
#include <algorithm>

#include "base/endian.h"
#include "devices/virtio/virtio_net.h"

namespace rhea::devices::virtio {

namespace {

constexpr uint8_t kOk = 0, kError = 1;
constexpr uint8_t kClassRx = 0, kClassMac = 1, kClassVlan = 2, kClassOffloads = 5;
constexpr size_t kMostCommand = 2 + 2 * (4 + 1024 * 6);
constexpr size_t kMostAddresses = 64;
constexpr unsigned kCommandsPerTurn = 256;

// One table of VIRTIO_NET_CTRL_MAC_TABLE_SET off the front of `data`; more than are kept let all pass.
bool take_table(std::span<const uint8_t>& data, std::vector<net::Mac>& to, bool& many) {
  if (data.size() < 4) return false;
  const uint32_t count = load_le<uint32_t>(data.data());
  data = data.subspan(4);
  if (count > data.size() / 6) return false;
  to.clear();
  many = count > kMostAddresses;
  for (uint32_t i = 0; i < count && !many; ++i) {
    net::Mac& mac = to.emplace_back();
    std::copy_n(data.begin() + i * 6, 6, mac.begin());
  }
  data = data.subspan(size_t{count} * 6);
  return true;
}

}  // namespace

bool VirtioNet::passes_filter(net::Frame frame) const {
  if (load_be<uint16_t>(&frame[12]) == 0x8100 && frame.size() >= 18 &&
      !vlans_[load_be<uint16_t>(&frame[14]) & 0xfff])
    return false;
  if (promiscuous_) return true;
  net::Mac to;
  std::copy_n(frame.begin(), 6, to.begin());
  if ((to[0] & 1) != 0) {
    if (std::ranges::all_of(to, [](uint8_t byte) { return byte == 0xff; })) return !no_broadcast_;
    if (no_multicast_) return false;
    return all_multicast_ || many_multicast_ || std::ranges::find(multicast_, to) != multicast_.end();
  }
  if (no_unicast_) return false;
  return all_unicast_ || many_unicast_ || to == mac_ || std::ranges::find(unicast_, to) != unicast_.end();
}

void VirtioNet::serve_control() {
  if (!running()) return;
  Virtqueue& ring = queue(kControl);
  unsigned done = 0;
  do {
    for (; done < kCommandsPerTurn; ++done) {
      const std::optional<Chain> chain = ring.pop();
      if (!chain) break;
      if (chain->in_bytes == 0 || chain->out_bytes < 2 || chain->out_bytes > kMostCommand)
        return break_down("a command that is none");
      const uint8_t answer = control(*chain) ? kOk : kError;
      if (!copy_to(ram(), chain->in, 0, {&answer, 1})) return break_down("an answer that is not in RAM");
      ring.push(*chain, 1);
    }
  } while (ring.enable_kicks() && done < kCommandsPerTurn);
  if (done == kCommandsPerTurn) more_->arm(clock_.now_ns());
}

bool VirtioNet::control(const Chain& chain) {
  std::vector<uint8_t> command(chain.out_bytes);
  if (!copy_from(ram(), chain.out, 0, command)) return false;
  const auto data = std::span<const uint8_t>(command).subspan(2);
  switch (command[0]) {
    case kClassRx: return control_receive(command[1], data);
    case kClassMac: return control_mac(command[1], data);
    case kClassVlan: return control_vlan(command[1], data);
    case kClassOffloads: return control_offloads(command[1], data);
    default: return false;
  }
}

bool VirtioNet::control_receive(uint8_t command, std::span<const uint8_t> data) {
  bool* const switches[] = {&promiscuous_,  &all_multicast_, &all_unicast_,
                            &no_multicast_, &no_unicast_,    &no_broadcast_};
  if (command >= std::size(switches) || data.empty()) return false;
  *switches[command] = data[0] != 0;
  return true;
}

bool VirtioNet::control_mac(uint8_t command, std::span<const uint8_t> data) {
  if (command == 1) {
    if (data.size() != mac_.size()) return false;
    std::ranges::copy(data, mac_.begin());
    return true;
  }
  if (command != 0) return false;
  return take_table(data, unicast_, many_unicast_) && take_table(data, multicast_, many_multicast_);
}

bool VirtioNet::control_vlan(uint8_t command, std::span<const uint8_t> data) {
  if (command > 1 || data.size() < 2) return false;
  const uint16_t id = load_le<uint16_t>(data.data());
  if (id >= vlans_.size()) return false;
  vlans_[id] = command == 0;
  return true;
}

bool VirtioNet::control_offloads(uint8_t command, std::span<const uint8_t> data) {
  constexpr uint64_t kAll = feature(1) | feature(7) | feature(8);
  if (command != 0 || data.size() < 8) return false;
  const uint64_t wanted = load_le<uint64_t>(data.data());
  if ((wanted & ~(accepted() & kAll)) != 0) return false;
  guest_offloads_ = wanted;
  return true;
}

void VirtioNet::device_state(bus::StateVisitor& v) {
  v.bytes("mac", mac_);
  bool* const switches[] = {&promiscuous_, &all_multicast_, &all_unicast_,  &no_multicast_,
                            &no_unicast_,  &no_broadcast_,  &many_unicast_, &many_multicast_};
  for (bool* const value : switches) v.field("switch", *value);
  for (std::vector<net::Mac>* table : {&unicast_, &multicast_}) {
    uint32_t count = static_cast<uint32_t>(table->size());
    v.field("addresses", count);
    table->resize(kMostAddresses);
    for (net::Mac& mac : *table) v.bytes("address", mac);
    table->resize(std::min<size_t>(count, kMostAddresses));
  }
  for (size_t i = 0; i < vlans_.size(); i += 64) {
    uint64_t bits = 0;
    for (size_t j = 0; j < 64; ++j) bits |= uint64_t{vlans_[i + j]} << j;
    v.field("vlans", bits);
    for (size_t j = 0; j < 64; ++j) vlans_[i + j] = (bits >> j & 1) != 0;
  }
  v.field("guest_offloads", guest_offloads_);
  v.bytes("waiting", waiting_);
  v.field("waiting_size", waiting_size_);
  v.field("waiting_wanted", waiting_offload_.checksum_wanted);
  v.field("waiting_good", waiting_offload_.checksum_good);
  v.field("waiting_start", waiting_offload_.checksum_start);
  v.field("waiting_offset", waiting_offload_.checksum_offset);
  uint8_t gso = static_cast<uint8_t>(waiting_offload_.gso);
  v.field("waiting_gso", gso);
  v.field("waiting_segment", waiting_offload_.segment_size);
  if (!v.loading()) return;
  waiting_offload_.gso = static_cast<net::Gso>(gso % 3);
  waiting_size_ = std::min(waiting_size_, static_cast<uint32_t>(waiting_.size()));
  if (waiting_size_ < net::kEthernetHeader) waiting_size_ = 0;
  if (driver_ok()) more_->arm(clock_.now_ns());
}

}  // namespace rhea::devices::virtio
