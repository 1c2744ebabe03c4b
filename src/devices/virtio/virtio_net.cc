#include "devices/virtio/virtio_net.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/endian.h"
#include "base/log.h"

namespace rhea::devices::virtio {

namespace {

// 5.1.3.
constexpr uint64_t kCsum = feature(0), kGuestCsum = feature(1), kCtrlGuestOffloads = feature(2),
                   kMtu = feature(3), kMac = feature(5), kGuestTso4 = feature(7), kGuestTso6 = feature(8),
                   kHostTso4 = feature(11), kHostTso6 = feature(12), kMrgRxbuf = feature(15),
                   kStatus = feature(16), kCtrlVq = feature(17), kCtrlRx = feature(18),
                   kCtrlVlan = feature(19), kCtrlRxExtra = feature(20), kCtrlMacAddr = feature(23);
constexpr uint64_t kGuestOffloads = kGuestCsum | kGuestTso4 | kGuestTso6;
// 5.1.4: mac, status, max_virtqueue_pairs, mtu.
constexpr unsigned kConfigBytes = 12;
constexpr uint16_t kLinkUp = 1;
// 5.1.6, struct virtio_net_hdr.
constexpr size_t kHeaderLong = 12, kHeaderShort = 10;
constexpr uint8_t kNeedsCsum = 1, kDataValid = 2;
constexpr uint8_t kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoEcn = 0x80;

constexpr uint16_t kControlQueueSize = 64;
constexpr unsigned kChainsPerTurn = 1024;
constexpr int64_t kLookAgainNs = 500'000;

}  // namespace

VirtioNet::VirtioNet(async::Clock& clock, const Options& options, const RingOptions& ring)
    : VirtioDevice({.id = kIdNet, .name = "virtio-net", .class_code = 0x020000, .config_bytes = kConfigBytes},
                   ring),
      options_(options),
      mac_(options.mac),
      frame_(kHeaderLong + net::kLargestFrame),
      waiting_(net::kLargestFrame),
      clock_(clock) {
  add_queue(options_.rx_queue_size);
  add_queue(options_.tx_queue_size);
  if (options_.ctrl_vq) add_queue(kControlQueueSize);
  more_ = clock_.make_timer([this] {
    transmit();
    retry();
    if (options_.ctrl_vq) serve_control();
  });
}

VirtioNet::~VirtioNet() = default;

std::string VirtioNet::End::info() const {
  return fmt::format("index=0,type=nic,model={},macaddr={}", nic_.options_.model, net::mac_text(nic_.mac_));
}

uint64_t VirtioNet::device_features() const {
  const Options& o = options_;
  uint64_t bits = kMac;
  const auto offer = [&bits](bool on, uint64_t feature) { bits |= on ? feature : 0; };
  offer(o.csum, kCsum);
  offer(o.csum && o.host_tso4, kHostTso4);
  offer(o.csum && o.host_tso6, kHostTso6);
  offer(o.guest_csum, kGuestCsum);
  offer(o.guest_csum && o.guest_tso4, kGuestTso4);
  offer(o.guest_csum && o.guest_tso6, kGuestTso6);
  offer(o.mrg_rxbuf, kMrgRxbuf);
  offer(o.status, kStatus);
  offer(o.mtu != 0, kMtu);
  if (!o.ctrl_vq) return bits;
  bits |= kCtrlVq;
  offer(o.guest_csum && o.ctrl_guest_offloads, kCtrlGuestOffloads);
  offer(o.ctrl_rx, kCtrlRx);
  offer(o.ctrl_vlan, kCtrlVlan);
  offer(o.ctrl_rx_extra, kCtrlRxExtra);
  offer(o.ctrl_mac_addr, kCtrlMacAddr);
  return bits;
}

void VirtioNet::fill_config(std::span<uint8_t> config) const {
  std::ranges::copy(mac_, config.begin());
  const bool up = !options_.status || end_.carrier();
  store_le<uint16_t>(&config[6], up ? kLinkUp : uint16_t{0});
  store_le<uint16_t>(&config[8], 1);
  store_le<uint16_t>(&config[10], options_.mtu);
}

// 5.1.4.1: a legacy driver sets the address here.
void VirtioNet::config_written(unsigned offset, std::span<const uint8_t> bytes) {
  if (negotiated(kVersion1)) return;
  for (size_t i = 0; i < bytes.size() && offset + i < mac_.size(); ++i) mac_[offset + i] = bytes[i];
}

void VirtioNet::device_reset() {
  mac_ = options_.mac;
  promiscuous_ = true;
  all_multicast_ = all_unicast_ = no_multicast_ = no_unicast_ = no_broadcast_ = false;
  many_unicast_ = many_multicast_ = false;
  unicast_.clear();
  multicast_.clear();
  vlans_.reset();
  guest_offloads_ = 0;
  waiting_size_ = 0;
  more_->cancel();
}

void VirtioNet::driver_ready() {
  guest_offloads_ = accepted() & kGuestOffloads;
  if (!negotiated(kCtrlVlan)) vlans_.set();
  end_.flush_queued();
}

void VirtioNet::queue_kicked(unsigned index) {
  switch (index) {
    case kReceive: return retry();
    case kTransmit: return transmit();
    case kControl: return serve_control();
    default: return;
  }
}

size_t VirtioNet::header_size() const {
  return negotiated(kVersion1) || negotiated(kMrgRxbuf) ? kHeaderLong : kHeaderShort;
}

net::Takes VirtioNet::takes() const {
  const uint64_t wanted = guest_offloads_ & accepted();
  const bool both = (wanted & (kGuestTso4 | kGuestTso6)) == (kGuestTso4 | kGuestTso6);
  return {.partial_checksum = (wanted & kGuestCsum) != 0, .large = both};
}

void VirtioNet::transmit() {
  if (transmitting_ || !running()) return;
  transmitting_ = true;
  Virtqueue& ring = queue(kTransmit);
  unsigned done = 0;
  do {
    ring.disable_kicks();
    for (; done < kChainsPerTurn; ++done) {
      const std::optional<Chain> chain = ring.pop();
      if (!chain) break;
      send_chain(*chain);
      ring.fill(*chain, 0);
    }
    ring.flush();
  } while (done < kChainsPerTurn && ring.enable_kicks());
  transmitting_ = false;
  if (done >= kChainsPerTurn) more_->arm(clock_.now_ns());
}

// 5.1.6.2. What is against the rules is lost, as on a real wire.
void VirtioNet::send_chain(const Chain& chain) {
  const size_t header = header_size();
  if (chain.out_bytes < header + net::kEthernetHeader || chain.out_bytes > header + net::kLargestFrame) {
    guest_error("virtio-net: a packet of {} bytes", chain.out_bytes);
    return;
  }
  const auto bytes = std::span(frame_).first(chain.out_bytes);
  if (!copy_from(ram(), chain.out, 0, bytes)) {
    guest_error("virtio-net: a packet that is not in RAM");
    return;
  }
  const uint8_t flags = bytes[0], gso = bytes[1] & static_cast<uint8_t>(~kGsoEcn);
  const net::Frame frame = bytes.subspan(header);
  net::Offload offload;
  if ((flags & kNeedsCsum) != 0 && negotiated(kCsum)) {
    offload.checksum_wanted = true;
    offload.checksum_start = load_le<uint16_t>(&bytes[6]);
    offload.checksum_offset = load_le<uint16_t>(&bytes[8]);
    if (size_t{offload.checksum_start} + offload.checksum_offset + 2 > frame.size()) {
      guest_error("virtio-net: a checksum outside of its packet");
      return;
    }
  }
  if (gso != kGsoNone) {
    const bool v4 = gso == kGsoTcp4 && negotiated(kHostTso4), v6 = gso == kGsoTcp6 && negotiated(kHostTso6);
    offload.gso = v4 ? net::Gso::Tcp4 : net::Gso::Tcp6;
    offload.segment_size = load_le<uint16_t>(&bytes[4]);
    if ((!v4 && !v6) || !offload.checksum_wanted || offload.segment_size == 0) {
      guest_error("virtio-net: segmentation of kind {} into {} bytes", gso, offload.segment_size);
      return;
    }
  }
  end_.send(frame, offload);
}

bool VirtioNet::can_receive() {
  if (waiting_size_ != 0 || !running()) return false;
  // The driver need not tell of buffers that it adds, as long as there are some.
  Virtqueue& ring = queue(kReceive);
  return !ring.empty() || ring.enable_kicks();
}

void VirtioNet::receive(net::Frame frame, const net::Offload& offload) {
  if (!running() || !passes_filter(frame)) return;
  if (store(frame, offload)) return;
  std::ranges::copy(frame, waiting_.begin());
  waiting_size_ = static_cast<uint32_t>(frame.size());
  waiting_offload_ = offload;
  wait_for_buffers();
}

// An empty ring makes the driver notify; for one that has too few buffers there is nothing but to look again.
void VirtioNet::wait_for_buffers() {
  if (queue(kReceive).empty() && !queue(kReceive).enable_kicks()) return;
  if (!more_->armed()) more_->arm(clock_.now_ns() + kLookAgainNs);
}

// False: there are too few buffers.
bool VirtioNet::store(net::Frame frame, const net::Offload& offload) {
  uint8_t header[kHeaderLong] = {};
  const size_t header_bytes = header_size();
  if (offload.checksum_wanted) {
    header[0] = kNeedsCsum;
    store_le<uint16_t>(&header[6], offload.checksum_start);
    store_le<uint16_t>(&header[8], offload.checksum_offset);
  } else if (offload.checksum_good && takes().partial_checksum) {
    header[0] = kDataValid;
  }
  if (offload.gso != net::Gso::None) {
    header[1] = offload.gso == net::Gso::Tcp4 ? kGsoTcp4 : kGsoTcp6;
    store_le<uint16_t>(&header[2], static_cast<uint16_t>(net::parse_headers(frame).payload));
    store_le<uint16_t>(&header[4], offload.segment_size);
  }
  Virtqueue& ring = queue(kReceive);
  const bool mergeable = negotiated(kMrgRxbuf);
  const size_t total = header_bytes + frame.size();
  std::vector<Chain> chains;
  size_t room = 0;
  while (room < total && (mergeable || chains.empty())) {
    std::optional<Chain> chain = ring.pop();
    if (!chain) break;
    room += chain->in_bytes;
    chains.push_back(std::move(*chain));
  }
  if (room < total) {
    const bool hopeless = !chains.empty() && (!mergeable || chains.size() >= ring.size());
    if (hopeless) {
      guest_error("virtio-net: a frame of {} bytes fits into no buffer", frame.size());
      ring.push(chains.front(), 0);
      return true;
    }
    while (!chains.empty()) {
      ring.unpop(chains.back());
      chains.pop_back();
    }
    return false;
  }
  store_le<uint16_t>(&header[10], static_cast<uint16_t>(chains.size()));
  const Chain& first = chains.front();
  if (first.in_bytes < header_bytes) {
    break_down("a receive buffer is smaller than a header");
    return true;
  }
  bool stored = copy_to(ram(), first.in, 0, std::span<const uint8_t>(header).first(header_bytes)).has_value();
  size_t at = 0;
  for (const Chain& chain : chains) {
    const size_t skip = &chain == &first ? header_bytes : 0;
    const size_t length = std::min<size_t>(chain.in_bytes - skip, frame.size() - at);
    stored = stored && copy_to(ram(), chain.in, skip, frame.subspan(at, length)).has_value();
    at += length;
    ring.fill(chain, static_cast<uint32_t>(skip + length));
  }
  if (!stored) {
    break_down("a receive buffer is not in RAM");
    return true;
  }
  ring.flush();
  return true;
}

// New buffers.
void VirtioNet::retry() {
  if (waiting_size_ != 0 && running()) {
    const size_t size = std::exchange(waiting_size_, 0);
    if (!store(net::Frame(waiting_).first(size), waiting_offload_)) {
      waiting_size_ = static_cast<uint32_t>(size);
      return wait_for_buffers();
    }
  }
  end_.flush_queued();
}

}  // namespace rhea::devices::virtio
