// What every virtio device is, whatever carries it: features, status, queues, configuration fields. A device
// type derives from this; a transport (virtio_pci.h) owns it and is what the guest sees.
//
// VIRTIO 1.2, chapter 2. Little-endian only, as are x86 guests of the legacy interface. Caller holds the
// machine lock.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "bus/device.h"
#include "devices/virtio/guest_ram.h"
#include "devices/virtio/virtio_regs.h"
#include "devices/virtio/virtqueue.h"

namespace rhea::devices::virtio {

// What a device asks of its transport.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void interrupt_queue(unsigned queue) = 0;
  virtual void interrupt_config() = 0;  // a configuration field or the status has changed
};

// Ring features that a user may switch off or on.
struct RingOptions {
  bool indirect_desc = true;
  bool event_idx = true;
  bool packed = false;
  bool notify_on_empty = true;
  bool any_layout = true;
};

class VirtioDevice {
 public:
  struct Type {
    uint16_t id;                // kIdNet …
    std::string_view name;      // for messages and saved state
    uint32_t class_code;        // of a PCI function with this device
    unsigned config_bytes = 0;  // device-specific configuration
  };
  VirtioDevice(const Type& type, const RingOptions& ring);
  virtual ~VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  const Type& type() const { return type_; }
  GuestRam& ram() { return ram_; }
  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  Virtqueue& queue(unsigned index) { return queues_[index]; }
  // The driver has accepted this feature (all bits of it).
  bool negotiated(uint64_t feature) const { return (accepted_ & feature) == feature; }
  bool driver_ok() const { return (status_ & kDriverOk) != 0 && (status_ & kNeedsReset) == 0; }

  // The guest or ring is against the rules: the device stands still until it is reset.
  void break_down(std::string_view why);

  // For transports.
  void attach(Transport* transport) { transport_ = transport; }
  uint64_t offered() const;
  uint64_t accepted() const { return accepted_; }
  void accept_legacy(uint32_t features);
  void accept(unsigned half, uint32_t features);  // ignored once FEATURES_OK stands
  uint8_t status() const { return status_; }
  void set_status(uint8_t status);  // 0 resets
  void enable_queue(unsigned index);
  void kick(unsigned index);
  void config_get(unsigned offset, std::span<uint8_t> to) const;  // zero beyond the end
  void config_set(unsigned offset, std::span<const uint8_t> from);
  void reset();
  void state(bus::StateVisitor& v);

 protected:
  // While constructing: adds a queue; they are numbered from 0.
  unsigned add_queue(uint16_t max_size);
  // Tells the driver that configuration fields have changed.
  void config_changed();

 private:
  // Bits of the device type that it offers (not the ring's).
  virtual uint64_t device_features() const = 0;
  // Writes the whole configuration, Type::config_bytes of it.
  virtual void fill_config(std::span<uint8_t> config) const { static_cast<void>(config); }
  // The driver has changed these bytes, within Type::config_bytes.
  virtual void config_written(unsigned offset, std::span<const uint8_t> bytes) {
    static_cast<void>(offset);
    static_cast<void>(bytes);
  }
  // The driver has notified an enabled queue of a device that is DRIVER_OK (or legacy and not even that).
  virtual void queue_kicked(unsigned index) = 0;
  // DRIVER_OK was set: the driver's features and queues are final.
  virtual void driver_ready() {}
  // Back to power-on; what is under way is forgotten and must not touch a queue any more.
  virtual void device_reset() = 0;
  virtual void device_state(bus::StateVisitor& v) { static_cast<void>(v); }

  Virtqueue::Mode mode() const;

  Type type_;
  RingOptions ring_;
  GuestRam ram_;
  Transport* transport_ = nullptr;
  std::deque<Virtqueue> queues_;
  uint64_t accepted_ = 0;
  uint8_t status_ = 0;
};

}  // namespace rhea::devices::virtio
