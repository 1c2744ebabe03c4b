// virtio-serial: a bus of character ports in one virtio device. Each port has a queue for either direction;
// two control queues tell which ports there are, which are consoles, what they are called and which are open.
//
// VIRTIO 1.2, 5.3. Missing: VIRTIO_CONSOLE_F_SIZE and resize messages (not offered). Caller holds the machine
// lock.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/result.h"
#include "bus/bus.h"
#include "bus/device.h"
#include "chardev/chardev.h"
#include "devices/virtio/virtio_device.h"

namespace rhea::devices::virtio {

class VirtioSerial;

// virtconsole or virtserialport.
class VirtioPort final : public bus::Device, private chardev::Frontend {
 public:
  struct Options {
    bool console = false;
    std::string name{};                   // what udev calls it in the guest; empty: none
    chardev::Chardev* backend = nullptr;  // null: output is lost
  };
  explicit VirtioPort(Options options) : options_(std::move(options)) {}
  ~VirtioPort() override;

  std::string_view name() const override { return options_.console ? "virtconsole" : "virtserialport"; }
  void reset(bus::ResetKind) override { stop(); }
  void state(bus::StateVisitor& v) override;

  const Options& options() const { return options_; }
  unsigned number() const { return number_; }

 private:
  friend class VirtioSerial;

  void plugged(VirtioSerial& bus, unsigned number);
  void stop();
  void set_open(bool open);
  void output();  // the driver has put something into the queue, or the back end has room again
  void input_wanted();
  bool write_some(const Chain& chain);

  size_t can_receive() override;
  void receive(std::span<const uint8_t> bytes) override;
  void output_ready() override { output(); }

  Options options_;
  VirtioSerial* bus_ = nullptr;
  unsigned number_ = 0;
  bool open_ = false;     // the driver has it open
  uint64_t sent_ = 0;     // bytes of the first request in the output queue that the back end has taken
  bool blocked_ = false;  // the back end will call output_ready()
};

class VirtioSerial final : public VirtioDevice, public bus::Bus {
 public:
  static constexpr unsigned kMaxPorts = 31;
  struct Options {
    unsigned max_ports = kMaxPorts;  // besides port 0
    bool emergency_write = true;
  };
  VirtioSerial(const Options& options, const RingOptions& ring);
  ~VirtioSerial() override;

  std::string_view type() const override { return "virtio-serial-bus"; }

  // number: nothing takes the first that is free, from 0 for a console, else from 1. The port outlives its
  // stay (its destructor takes it off). Errors: Busy, OutOfRange, Invalid (port 0 is for consoles), NoSpace.
  Result<> plug(VirtioPort& port, std::optional<unsigned> number);
  void unplug(VirtioPort& port);

  Virtqueue& input_queue(unsigned port) { return queue(port == 0 ? 0 : 2 * port + 2); }
  Virtqueue& output_queue(unsigned port) { return queue(port == 0 ? 1 : 2 * port + 3); }
  bool multiport() const;
  // Whether the driver takes part at all.
  bool running() const { return driver_ok(); }

 private:
  struct Message {
    uint32_t port;
    uint16_t event, value;
    std::string text{};
  };

  uint64_t device_features() const override;
  void fill_config(std::span<uint8_t> config) const override;
  void config_written(unsigned offset, std::span<const uint8_t> bytes) override;
  void queue_kicked(unsigned index) override;
  void driver_ready() override;
  void device_reset() override;

  void control_output();
  void control(const Message& message);
  void port_ready(const VirtioPort& port);
  void tell(Message message);
  void send_messages();

  Options options_;
  std::vector<VirtioPort*> ports_;  // by number; null: none
  std::deque<Message> messages_;    // that wait for buffers of the driver
};

}  // namespace rhea::devices::virtio
