// Message-signalled interrupts of a PCI function: the MSI capability, and the MSI-X capability with its table
// and pending bits. A message is a dword write that the function makes as bus master.
//
// PCI Local Bus Specification 3.0, 6.8.1 (MSI) and 6.8.2 (MSI-X). Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <vector>

#include "bus/pci/pci_function.h"
#include "memory/io_handler.h"

namespace rhea::bus::pci {

class Msi {
 public:
  struct Options {
    unsigned vectors = 1;  // power of two, at most 32
    bool wide = true;      // 64-bit addresses
    bool maskable = false;
  };
  // function outlives this. Registers stand in its configuration space from offset on.
  Msi(PciFunction& function, unsigned offset, const Options& options);

  bool enabled() const;
  // Sends the message of a vector, or remembers it while it is masked. Not enabled: nothing happens.
  void notify(unsigned vector);
  // To be called from PciFunction::config_written: unmasked vectors that are pending go out.
  void config_written(unsigned offset, unsigned size);
  unsigned size() const;

 private:
  unsigned data_at() const { return offset_ + (options_.wide ? 12u : 8u); }
  unsigned mask_at() const { return data_at() + 4; }
  unsigned pending_at() const { return data_at() + 8; }
  void send(unsigned vector);

  PciFunction& function_;
  unsigned offset_;
  Options options_;
};

class Msix final : public memory::IoHandler {
 public:
  struct Placement {
    unsigned bar;
    uint32_t table;  // offsets of table and pending bits in the BAR, 8-byte aligned
    uint32_t pending;
  };
  // vectors is 1..2048. The owner maps this handler's offset 0 at the table and pending_offset() at the
  // pending bits.
  Msix(PciFunction& function, unsigned offset, unsigned vectors, const Placement& placement);

  bool enabled() const;
  void notify(unsigned vector);
  void config_written(unsigned offset, unsigned size);
  void reset();
  void state(StateVisitor& v);

  uint64_t table_size() const { return table_.size(); }
  uint64_t pending_offset() const { return table_.size(); }
  uint64_t io_size() const { return table_.size() + pending_.size(); }
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }

 private:
  bool masked(unsigned vector) const;
  uint32_t entry(unsigned vector, unsigned dword) const;
  void flush();

  PciFunction& function_;
  unsigned offset_;
  unsigned vectors_;
  std::vector<uint8_t> table_;
  std::vector<uint8_t> pending_;
};

}  // namespace rhea::bus::pci
