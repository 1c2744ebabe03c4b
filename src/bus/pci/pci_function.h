// One PCI function: its configuration space (type 0 or 1 header), base address registers that map handlers
// into the address spaces as the guest programs them, capabilities, INTx and DMA.
//
// PCI Local Bus Specification 3.0, chapter 6; PCI Express Base 3.0, 7.9 (extended configuration space).
// Missing: power management, VPD, BIST.
// Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bus/device.h"
#include "bus/pci/pci_regs.h"
#include "memory/address_space.h"

namespace rhea::bus::pci {

class PciBus;

struct Identity {
  uint16_t vendor;
  uint16_t device;
  uint8_t revision = 0;
  uint32_t class_code = 0;  // base class, sub-class, programming interface
  uint16_t subsystem_vendor = 0x1af4;
  uint16_t subsystem = 0x1100;
  uint8_t interrupt_pin = 0;  // 0: none, 1..4: INTA#..INTD#
  uint8_t header_type = 0;    // bit 7: multifunction
};

enum class BarKind : uint8_t { Io, Memory32, Memory64, Prefetch32, Prefetch64 };

class PciFunction : public Device {
 public:
  explicit PciFunction(const Identity& identity);
  ~PciFunction() override;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  // The bus calls these. offset + size never crosses a dword.
  virtual uint32_t config_read(unsigned offset, unsigned size);
  void config_write(unsigned offset, unsigned size, uint32_t value);

  // For subclasses overriding: call these too.
  void reset(ResetKind kind) override;
  void state(StateVisitor& v) override;

  // Set by PciBus::attach.
  void attached(PciBus& bus, unsigned devfn);
  // The bus is destroyed before the function: nothing is mapped any more.
  void bus_gone();
  PciBus* bus() const { return bus_; }
  unsigned devfn() const { return devfn_; }

  // 256, or 4096 where there is extended space.
  unsigned config_size() const { return static_cast<unsigned>(config_.size()); }
  // Gives the function extended configuration space, once, before it is attached.
  void extend_config();
  uint16_t config16(unsigned offset) const;
  uint32_t config32(unsigned offset) const;
  uint8_t config8(unsigned offset) const { return config_[offset]; }
  void set_config8(unsigned offset, uint8_t value) { config_[offset] = value; }
  void set_config16(unsigned offset, uint16_t value);
  void set_config32(unsigned offset, uint32_t value);

  // The level of this function's interrupt pin; the INTx disable bit masks it.
  void set_intx(bool level);
  bool intx() const { return intx_; }

  // DMA as bus master. False: not allowed by the command register, or part of it is unassigned.
  bool dma_read(uint64_t address, std::span<uint8_t> to);
  bool dma_write(uint64_t address, std::span<const uint8_t> from);
  // A message-signalled interrupt: a dword write, diverted to the local APICs where it is one for them.
  void send_message(uint64_t address, uint32_t data);

  // Where BAR index is now visible to the guest, if it is.
  std::optional<uint64_t> bar_address(unsigned index) const;
  // What BAR index is (6: the ROM), for monitors; nothing: there is none.
  struct BarInfo {
    BarKind kind;
    uint64_t size;
    std::optional<uint64_t> address;  // where the guest sees it
  };
  std::optional<BarInfo> bar_info(unsigned index) const;
  // What BAR index decodes if the command register lets it, the expansion ROM excepted; nothing while its
  // address is zero.
  struct BarRange {
    BarKind kind;
    uint64_t at, size;
  };
  std::optional<BarRange> programmed_bar(unsigned index) const;
  static constexpr unsigned kRegisterBars = 6;
  // Maps or unmaps every BAR as command, BARs and bridges above say now.
  virtual void update_mappings();

  // Power-on contents of a register and which bits a guest may change. Whole board code may use it too.
  void define8(unsigned offset, uint8_t value, uint8_t writable = 0);
  void define16(unsigned offset, uint16_t value, uint16_t writable = 0);
  void define32(unsigned offset, uint32_t value, uint32_t writable = 0);
  void define_clear16(unsigned offset, uint16_t write_one_to_clear);
  // Links a capability of size bytes (header included) at offset, which is dword aligned and at least 0x40.
  void add_capability(uint8_t id, unsigned offset, unsigned size);
  // The same in extended space, at 0x100 first: each call links behind the one before.
  void add_extended_capability(uint16_t id, unsigned version, unsigned offset, unsigned size);

 protected:
  // size is a power of two, at least 4 (Io) or 16 (memory). The handler sees offsets into the BAR.
  void add_bar(unsigned index, BarKind kind, uint64_t size, memory::IoHandler& handler);
  void add_ram_bar(unsigned index, BarKind kind, memory::RamBlock& ram);
  void add_rom(memory::RamBlock& rom);

  // Called after a guest's write has changed bytes [offset, offset + size).
  virtual void config_written(unsigned offset, unsigned size) {
    static_cast<void>(offset);
    static_cast<void>(size);
  }

 private:
  struct Bar {
    bool used = false;
    BarKind kind = BarKind::Memory32;
    uint64_t size = 0;
    memory::IoHandler* handler = nullptr;
    memory::RamBlock* ram = nullptr;
    bool read_only = false;
    std::optional<memory::MapId> map;
    uint64_t at = 0;
  };
  static constexpr unsigned kBars = 7;  // the last is the expansion ROM
  static constexpr unsigned kRomBar = 6;

  unsigned bar_register(unsigned index) const;
  void define_bar(unsigned index, BarKind kind, uint64_t size);
  std::optional<uint64_t> wanted_address(unsigned index) const;
  void place(Bar& bar, std::optional<uint64_t> at);
  void drive_pin();

  std::vector<uint8_t> config_ = std::vector<uint8_t>(kConfigSize);
  std::vector<uint8_t> defaults_ = config_;
  std::vector<uint8_t> writable_ = config_;
  std::vector<uint8_t> clear_ = config_;  // written ones clear these bits
  unsigned last_extended_ = 0;            // offset of the last extended capability; 0: none
  std::array<Bar, kBars> bars_;
  PciBus* bus_ = nullptr;
  unsigned devfn_ = 0;
  bool intx_ = false;
  bool driven_ = false;
};

}  // namespace rhea::bus::pci
