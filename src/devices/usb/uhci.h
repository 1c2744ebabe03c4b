// The universal host controller: two root ports for low and full speed devices, a schedule of 1024 frames.
//
// Intel, Universal Host Controller Interface Design Guide 1.1. Time is the frame: once a virtual millisecond
// the frame's list is worked off, up to 1280 bytes. Data toggles are not checked. Missing: isochronous
// endpoints (no device here has one), the SMI of the legacy support register. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "async/clock.h"
#include "bus/pci/pci_function.h"
#include "bus/usb/usb_port.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Uhci final : public bus::pci::PciFunction, public memory::IoHandler, private bus::usb::PortOwner {
 public:
  struct Wiring {
    async::Clock& clock;        // virtual
    uint16_t device = 0x7020;   // 82371SB; the 82801I has several
    uint8_t interrupt_pin = 4;  // INTD#, as on the PIIX3
    const char* name = "piix3-usb-uhci";
  };
  explicit Uhci(const Wiring& wiring);
  ~Uhci() override;

  std::string_view name() const override { return wiring_.name; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

  bus::usb::UsbBus& usb_bus() { return bus_; }

 private:
  static constexpr unsigned kPorts = 2;
  struct Td {
    uint32_t link, status, token, buffer;
  };
  enum class Step : uint8_t { Done, NotDone, Halt };

  void attached(bus::usb::UsbPort& port) override;
  void detached(bus::usb::UsbPort& port) override;
  void ready(bus::usb::UsbPort&, bus::usb::UsbDevice&, unsigned) override {}  // the frames poll
  void wake_host(bus::usb::UsbPort& port) override;

  uint16_t read16(unsigned offset) const;
  void write16(unsigned offset, uint16_t value, uint16_t mask);
  void write_command(uint16_t value);
  void write_port(unsigned index, uint16_t value);
  void reset_controller();
  void start_frames();
  void frame_over();
  void run_frame();
  bool run_queue(uint32_t at, uint32_t& next);
  Step run_td(uint32_t at, bool in_queue, Td& td);
  bus::usb::Reply transact(const Td& td, std::vector<uint8_t>& data);
  void failed(Td& td);
  bool seen_before(uint32_t queue);
  bus::usb::UsbDevice* find_device(uint8_t address);
  void halt(uint16_t why);
  void update_interrupt();
  bool read_words(uint32_t at, std::span<uint32_t> to);
  void write_word(uint32_t at, uint32_t value);

  Wiring wiring_;
  bus::usb::UsbBus bus_;
  std::array<std::unique_ptr<bus::usb::UsbPort>, kPorts> ports_;
  std::unique_ptr<async::Timer> timer_;
  int64_t frame_ends_ns_ = 0;
  uint16_t command_ = 0, status_ = 0, interrupt_enable_ = 0, frame_ = 0;
  uint32_t frame_list_ = 0;
  uint8_t sof_modify_ = 0x40;
  uint8_t pending_ = 0;  // why bit 0 of the status is set: on completion, short packet
  std::array<uint16_t, kPorts> port_{};
  // Of the frame that is worked off.
  unsigned budget_ = 0;
  std::vector<uint32_t> seen_;  // queues since the last progress
};

}  // namespace rhea::devices
