// virtio-net: a network card with one pair of queues and a control queue; mergeable receive buffers, checksum
// and TCP segmentation left to the other side in both directions, filters for addresses and VLANs.
//
// VIRTIO 1.2, 5.1. Missing: several queue pairs and RSS, UDP segmentation, guest announcement, hash reports
// (all not offered). Caller holds the machine lock.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/clock.h"
#include "devices/virtio/virtio_device.h"
#include "net/endpoint.h"
#include "net/mac.h"

namespace rhea::devices::virtio {

class VirtioNet final : public VirtioDevice {
 public:
  struct Options {
    net::Mac mac{};
    std::string model = "virtio-net-pci";
    uint16_t rx_queue_size = 256, tx_queue_size = 256;
    uint16_t mtu = 0;  // advice to the guest; 0: none
    bool csum = true, guest_csum = true, guest_tso4 = true, guest_tso6 = true, host_tso4 = true,
         host_tso6 = true;
    bool mrg_rxbuf = true, status = true, ctrl_vq = true, ctrl_rx = true, ctrl_vlan = true,
         ctrl_rx_extra = true, ctrl_mac_addr = true, ctrl_guest_offloads = true;
  };
  // clock: virtual.
  VirtioNet(async::Clock& clock, const Options& options, const RingOptions& ring);
  ~VirtioNet() override;

  net::Endpoint& end() { return end_; }

 private:
  class End final : public net::Endpoint {
   public:
    explicit End(VirtioNet& nic) : net::Endpoint("virtio-net"), nic_(nic) {}
    bool can_receive() override { return nic_.can_receive(); }
    void receive(net::Frame frame, const net::Offload& offload) override { nic_.receive(frame, offload); }
    net::Takes takes() const override { return nic_.takes(); }
    void carrier_changed() override { nic_.config_changed(); }
    std::string info() const override;

   private:
    VirtioNet& nic_;
  };
  static constexpr unsigned kReceive = 0, kTransmit = 1, kControl = 2;

  uint64_t device_features() const override;
  void fill_config(std::span<uint8_t> config) const override;
  void config_written(unsigned offset, std::span<const uint8_t> bytes) override;
  void queue_kicked(unsigned index) override;
  void driver_ready() override;
  void device_reset() override;
  void device_state(bus::StateVisitor& v) override;

  bool running() { return driver_ok() || !negotiated(kVersion1); }
  size_t header_size() const;
  net::Takes takes() const;

  void transmit();
  void send_chain(const Chain& chain);
  bool can_receive();
  void receive(net::Frame frame, const net::Offload& offload);
  bool store(net::Frame frame, const net::Offload& offload);
  void wait_for_buffers();
  void retry();
  bool passes_filter(net::Frame frame) const;

  void serve_control();
  bool control(const Chain& chain);
  bool control_receive(uint8_t command, std::span<const uint8_t> data);
  bool control_mac(uint8_t command, std::span<const uint8_t> data);
  bool control_vlan(uint8_t command, std::span<const uint8_t> data);
  bool control_offloads(uint8_t command, std::span<const uint8_t> data);

  Options options_;
  net::Mac mac_;
  bool promiscuous_ = true, all_multicast_ = false, all_unicast_ = false, no_multicast_ = false,
       no_unicast_ = false, no_broadcast_ = false, many_unicast_ = false, many_multicast_ = false;
  std::vector<net::Mac> unicast_, multicast_;
  std::bitset<4096> vlans_;
  uint64_t guest_offloads_ = 0;  // of what was negotiated, what the driver wants now

  std::vector<uint8_t> frame_;    // that is being sent
  std::vector<uint8_t> waiting_;  // that found too few buffers
  uint32_t waiting_size_ = 0;
  net::Offload waiting_offload_;
  bool transmitting_ = false;
  std::unique_ptr<async::Timer> more_;  // transmission goes on
  async::Clock& clock_;
  End end_{*this};
};

}  // namespace rhea::devices::virtio
