// The enhanced host controller: six root ports for high speed devices, a periodic schedule and a ring of
// queues for control and bulk transfers.
//
// Intel, Enhanced Host Controller Interface Specification 1.0. Time is the frame of a virtual millisecond;
// the ring is also worked off when a device has something, and sooner while there is progress. Data toggles
// are not checked. Missing: split transactions, isochronous descriptors, the legacy support capability.
// Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "async/clock.h"
#include "bus/pci/pci_function.h"
#include "bus/usb/usb_port.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Ehci final : public bus::pci::PciFunction, public memory::IoHandler, private bus::usb::PortOwner {
 public:
  struct Wiring {
    async::Clock& clock;       // virtual
    uint16_t device = 0x24cd;  // 82801D; the 82801I has 0x293a and 0x293c
    uint8_t interrupt_pin = 4;
    const char* name = "usb-ehci";
  };
  explicit Ehci(const Wiring& wiring);
  ~Ehci() override;

  std::string_view name() const override { return wiring_.name; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

  bus::usb::UsbBus& usb_bus() { return bus_; }
  // Our ports from `first` on are these of a companion controller while it owns them (4.2). Errors: Invalid.
  Result<> add_companion(unsigned first, std::span<bus::usb::UsbPort* const> ports);
  static constexpr uint64_t kIoSize = 0x1000;

 private:
  static constexpr unsigned kPorts = 6;
  // 3.6: a queue head with its overlay, the transfer that is under way.
  struct Queue {
    uint32_t at = 0;
    std::array<uint32_t, 12> words{};
    bool changed = false;
  };
  enum class Step : uint8_t { Idle, Waits, Progress };

  void attached(bus::usb::UsbPort& port) override;
  void detached(bus::usb::UsbPort& port) override;
  void ready(bus::usb::UsbPort&, bus::usb::UsbDevice&, unsigned) override { hurry(0); }
  void wake_host(bus::usb::UsbPort& port) override;

  uint32_t read32(unsigned offset) const;
  void write32(unsigned offset, uint32_t value);
  void write_command(uint32_t value);
  void write_port(unsigned index, uint32_t value);
  void reset_controller();
  bool companion_owns(unsigned index) const { return (port_[index] & 0x2000) != 0; }
  void set_owner(unsigned index, bool companion);
  void raise(uint32_t bits);
  void update_interrupt();

  void hurry(int64_t ns);
  void timer_fired();
  void next_frame(int64_t now);
  void run_periodic();
  bool run_async();
  Step run_queue(uint32_t at, uint32_t& link);
  bool next_transfer(Queue& queue);
  Step transfer(Queue& queue);
  bus::usb::Reply transact(Queue& queue, uint32_t length);
  void advance(Queue& queue, uint32_t bytes, bool is_short);
  void retire(Queue& queue, bool is_short);
  bool move(const Queue& queue, std::span<uint8_t> data, bool to_memory);
  bus::usb::UsbDevice* find_device(uint8_t address);
  bool read_words(uint32_t at, std::span<uint32_t> to);
  bool write_words(uint32_t at, std::span<const uint32_t> from);

  Wiring wiring_;
  bus::usb::UsbBus bus_;
  std::array<std::unique_ptr<bus::usb::UsbPort>, kPorts> ports_;
  std::unique_ptr<async::Timer> timer_;
  uint32_t command_ = 0, status_ = 0, enabled_ = 0, index_ = 0, periodic_ = 0, async_ = 0, configured_ = 0;
  std::array<uint32_t, kPorts> port_{};
  std::array<bus::usb::UsbPort*, kPorts> companion_{};
  unsigned companions_ = 0;
  int64_t frame_ends_ns_ = 0;
  uint32_t budget_ = 0;  // bytes that may move before the next run
};

}  // namespace rhea::devices
