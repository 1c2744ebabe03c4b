// The host bridge of the 82441FX (PMC, 440FX): function 0:0.0 of the "pc" board, with the programmable
// attribute map (which parts of 0xC0000..0xFFFFF are RAM for reads and for writes) and SMRAM control.
//
// Intel 290549-001: 3.2.17 PAM registers, 3.2.24 SMRAM. Missing: DRAM timing and error registers (held,
// without effect), bus arbitration. Caller holds the machine lock.
#pragma once

#include <cstdint>

#include "bus/pci/pci_function.h"

namespace rhea::devices {

// The board switches its mappings here.
class I440fxListener {
 public:
  virtual ~I440fxListener() = default;
  // [start, start + size): whether reads and writes go to RAM (else to the bus, where the BIOS ROM is).
  virtual void pam_changed(uint32_t start, uint32_t size, bool read_ram, bool write_ram) = 0;
  // Compatible SMRAM at 0xA0000..0xBFFFF. enabled: it is there for SMM code; open: for everybody; closed: SMM
  // data accesses go to the bus although code fetches do not.
  virtual void smram_changed(bool enabled, bool open, bool closed) = 0;
};

class I440fx final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    I440fxListener* board = nullptr;
  };
  explicit I440fx(const Wiring& wiring);

  std::string_view name() const override { return "i440FX"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 protected:
  void config_written(unsigned offset, unsigned size) override;

 private:
  void lock_smram();
  void report_pam(unsigned offset);
  void report_smram();
  void report_all();

  Wiring wiring_;
  bool locked_ = false;
};

}  // namespace rhea::devices
