// The extensible host controller: USB 2 and USB 3 root ports, a command ring, event rings, slots with up to
// 31 endpoints each.
//
// eXtensible Host Controller Interface for USB, revision 1.2. Missing: isochronous transfers (no device here
// has them), streams, bandwidth negotiation, interrupt moderation, save and restore, split transactions
// behind hubs of high speed (they need none here). Data toggles and sequence numbers are not checked. What
// the guest gives is read once and checked: a ring that cannot be read, or that runs in circles, stops its
// endpoint. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "async/clock.h"
#include "bus/pci/msi.h"
#include "bus/pci/pci_function.h"
#include "bus/usb/usb_port.h"
#include "devices/usb/xhci_regs.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Xhci final : public bus::pci::PciFunction, private bus::usb::PortOwner {
 public:
  static constexpr unsigned kMostPorts = 15, kMostSlots = 64, kInterrupterCount = 16;
  struct Wiring {
    async::Clock& clock;  // virtual
    uint16_t vendor = 0x1b36, device = 0x000d;
    uint8_t revision = 1;
    unsigned usb2_ports = 4, usb3_ports = 4;  // 0..kMostPorts
    unsigned slots = kMostSlots, interrupters = kInterrupterCount;
    const char* name = "qemu-xhci";
  };
  explicit Xhci(const Wiring& wiring);
  ~Xhci() override;

  std::string_view name() const override { return wiring_.name; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  bus::usb::UsbBus& usb_bus() { return bus_; }
  memory::IoHandler& registers() { return registers_; }

 private:
  struct Registers final : memory::IoHandler {
    explicit Registers(Xhci& o) : owner(o) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }
    Xhci& owner;
  };
  struct Ring {
    uint64_t dequeue = 0;
    bool cycle = false;
  };
  struct Endpoint {
    uint8_t state = xhci::kEndpointDisabled, type = 0;
    Ring ring;
    uint32_t moved = 0;    // bytes since the last event data block
    uint64_t context = 0;  // address of its context in memory
    bool skip = false;     // to the end of the transfer descriptor: a short packet came
  };
  struct Slot {
    bool enabled = false;
    uint8_t state = xhci::kSlotDisabled;
    uint64_t context = 0;
    uint8_t port = 0;  // root hub port, from 1
    uint32_t route = 0;
    uint16_t interrupter = 0;
    uint8_t address = 0;
    std::array<Endpoint, xhci::kEndpoints + 1> endpoints;  // by device context index
  };
  struct Interrupter {
    uint32_t management = 0, moderation = 4000, table_size = 0;
    uint64_t table = 0, dequeue = 0;
    // Where the next event goes.
    uint64_t segment = 0;
    uint32_t segment_size = 0, at = 0;
    bool cycle = true;
  };
  struct Port {
    uint32_t status = 0, power = 0, link = 0;
    std::unique_ptr<bus::usb::UsbPort> plug;
  };

  void attached(bus::usb::UsbPort& port) override;
  void detached(bus::usb::UsbPort& port) override;
  void ready(bus::usb::UsbPort& port, bus::usb::UsbDevice& device, unsigned endpoint) override;
  void wake_host(bus::usb::UsbPort& port) override;

  // Registers (xhci.cc).
  uint32_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint32_t value);
  uint32_t read_capability(uint64_t offset) const;
  uint32_t read_operational(uint64_t offset) const;
  void write_operational(uint64_t offset, uint32_t value);
  void write_command(uint32_t value);
  uint32_t read_interrupter(uint64_t offset) const;
  void write_interrupter(uint64_t offset, uint32_t value);
  void write_doorbell(unsigned slot, uint32_t value);
  void reset_controller();
  bool running() const { return (status_ & xhci::kHalted) == 0; }
  uint32_t frame_index() const;

  // Ports (xhci_ports.cc).
  void make_ports();
  uint32_t read_port(unsigned index, unsigned reg) const;
  void write_port(unsigned index, unsigned reg, uint32_t value);
  void write_port_status(Port& port, unsigned index, uint32_t value);
  void reset_port(Port& port, unsigned index, bool warm);
  void connect(Port& port);
  void port_changed(unsigned index, uint32_t change);
  bool is_usb3(unsigned index) const { return index >= wiring_.usb2_ports; }
  bus::usb::UsbDevice* device_of(const Slot& slot) const;

  // Rings and events (xhci_rings.cc).
  bool fetch(Ring& ring, xhci::Trb& trb, uint64_t& at);
  void post(unsigned interrupter, xhci::Trb event);
  void load_segment(Interrupter& i);
  void raise(unsigned interrupter);
  void raise_if_waiting(Interrupter& i);
  void update_interrupt();
  bool read_words(uint64_t at, std::span<uint32_t> to);
  bool write_words(uint64_t at, std::span<const uint32_t> from);
  void system_error();

  // Commands (xhci_commands.cc).
  void run_commands();
  void execute(const xhci::Trb& trb, uint64_t at);
  xhci::Completion enable_slot(unsigned& slot);
  xhci::Completion disable_slot(unsigned slot);
  xhci::Completion address_device(unsigned slot, const xhci::Trb& trb);
  xhci::Completion configure_endpoints(unsigned slot, const xhci::Trb& trb);
  xhci::Completion evaluate_context(unsigned slot, uint64_t input);
  xhci::Completion reset_endpoint(unsigned slot, unsigned endpoint);
  xhci::Completion stop_endpoint(unsigned slot, unsigned endpoint);
  xhci::Completion set_dequeue(unsigned slot, unsigned endpoint, const xhci::Trb& trb);
  xhci::Completion reset_device(unsigned slot);
  bool enable_endpoint(Slot& slot, unsigned endpoint, uint64_t input_context);
  void disable_endpoint(Slot& slot, unsigned endpoint);
  void set_endpoint_state(Endpoint& endpoint, uint8_t state);
  void store_slot_state(Slot& slot);
  Slot* enabled_slot(unsigned number);

  // Transfers (xhci_transfers.cc).
  void run_endpoint(unsigned slot, unsigned endpoint);
  bool run_trb(unsigned slot, unsigned endpoint, const xhci::Trb& trb, uint64_t at);
  bus::usb::Reply transact(bus::usb::UsbDevice& device, unsigned endpoint, const xhci::Trb& trb,
                           std::vector<uint8_t>& data);
  void complete(unsigned slot, unsigned endpoint, const xhci::Trb& trb, uint64_t at, xhci::Completion code,
                uint32_t residue);
  void halt_endpoint(unsigned slot, unsigned endpoint, const xhci::Trb& trb, uint64_t at,
                     xhci::Completion code, uint32_t residue);

  Wiring wiring_;
  Registers registers_{*this};
  bus::usb::UsbBus bus_;
  bus::pci::Msix msix_;
  std::vector<Port> ports_;
  std::vector<Slot> slots_;  // from 1
  std::vector<Interrupter> interrupters_;
  std::unique_ptr<async::Timer> later_;  // goes on with endpoints that had their share
  std::vector<std::pair<unsigned, unsigned>> waiting_;
  uint32_t command_ = 0, status_ = xhci::kHalted, notifications_ = 0, configure_ = 0;
  uint64_t contexts_ = 0;  // DCBAAP
  Ring commands_;
  bool commands_run_ = false;
  int64_t started_ns_ = 0;
};

}  // namespace rhea::devices
