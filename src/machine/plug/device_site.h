// What a board offers to the devices that are plugged into it. One object a board; the rows of the driver
// tables (device_driver.h) reach everything they need through it.
//
// Machine lock held.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "async/clock.h"
#include "bus/irq.h"
#include "bus/pci/pci_bus.h"
#include "machine/machine_host.h"
#include "machine/plug/backends.h"
#include "machine/plug/device_tree.h"
#include "memory/address_space.h"

namespace rhea::devices {
class FwCfg;
class I8237Pair;
}  // namespace rhea::devices

namespace rhea::machine {

class DeviceSite {
 public:
  struct Parts {
    MachineHost& host;
    std::recursive_mutex& lock;
    async::Clock& virtual_clock;
    async::Clock& host_clock;
    memory::AddressSpace& memory;
    memory::AddressSpace& ports;
    bus::IrqSink& interrupts;  // by GSI: 0..15 are the ISA interrupts
    Backends backends;
  };
  explicit DeviceSite(Parts parts) : parts_(std::move(parts)) {}
  virtual ~DeviceSite() = default;
  DeviceSite(const DeviceSite&) = delete;
  DeviceSite& operator=(const DeviceSite&) = delete;

  MachineHost& host() { return parts_.host; }
  std::recursive_mutex& lock() { return parts_.lock; }
  async::Clock& virtual_clock() { return parts_.virtual_clock; }
  async::Clock& host_clock() { return parts_.host_clock; }
  memory::AddressSpace& memory() { return parts_.memory; }
  memory::AddressSpace& ports() { return parts_.ports; }
  bus::IrqSink& interrupts() { return parts_.interrupts; }
  bus::IrqLine isa_irq(unsigned number) { return {parts_.interrupts, number}; }
  Backends& backends() { return parts_.backends; }
  DeviceTree& tree() { return tree_; }

  // Drops all vCPUs' translations of guest addresses.
  virtual void flush_guest_tlbs() = 0;
  // The number of the next serial port that is not told which to be, and that this one is taken.
  virtual unsigned next_serial() = 0;
  virtual void take_serial(unsigned index) = 0;
  // How many vCPUs there are: devices may have a queue for each.
  virtual unsigned vcpus() const { return 1; }
  // Where firmware is told things; null: this machine has no such device.
  virtual devices::FwCfg* fw_cfg() { return nullptr; }
  // The DMA controllers of the ISA bus; null: it has none.
  virtual devices::I8237Pair* isa_dma() { return nullptr; }
  // A floppy controller is at its usual ports.
  void note_floppy_controller() { floppy_controller_ = true; }
  bool floppy_controller() const { return floppy_controller_; }
  // What the CMOS says of the floppy drives (0: none, 4: 1.44 MB, 5: 2.88 MB), one nibble a drive.
  void set_floppy_type(unsigned unit, uint8_t type) { floppy_types_[unit & 1] = type & 0x0f; }
  uint8_t floppy_types() const { return static_cast<uint8_t>(floppy_types_[0] << 4 | floppy_types_[1]); }
  // The first slot of the default PCI bus that -device may use.
  virtual unsigned first_free_slot() const { return 2; }

  // bootindex=: the firmware's order of boot devices, by their OpenFirmware path ("/pci@i0cf8/ide@1,1/…").
  // Errors: Invalid (the index is taken).
  Result<> add_boot_path(unsigned index, std::string path);
  const std::map<unsigned, std::string>& boot_paths() const { return boot_paths_; }

  // Maps handler at [base, base + size) of the ports. Errors: Invalid when there are no such ports.
  Result<> map_ports(uint32_t base, uint32_t size, memory::IoHandler& handler, uint64_t offset = 0);

 private:
  Parts parts_;
  DeviceTree tree_;
  std::map<unsigned, std::string> boot_paths_;
  std::array<uint8_t, 2> floppy_types_{};
  bool floppy_controller_ = false;
};

}  // namespace rhea::machine
