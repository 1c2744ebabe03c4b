// The SMBus controller function of ICH9 (31.3): the host controller of smbus_host.h behind BAR 4.
//
// Intel 316972-004 (ICH9): 19.1. Missing: the memory BAR, I2C mode, PEC. Caller holds the machine lock.
#pragma once

#include "bus/pci/pci_function.h"
#include "devices/bridge/smbus_host.h"

namespace rhea::devices {

class Ich9Smbus final : public bus::pci::PciFunction {
 public:
  Ich9Smbus();
  std::string_view name() const override { return "ICH9-SMB"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  SmbusHost& host() { return host_; }

 private:
  // The host enable bit switches the registers on.
  struct Gate final : memory::IoHandler {
    explicit Gate(Ich9Smbus& o) : owner(o) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
    Ich9Smbus& owner;
  };
  bool on() const;

  SmbusHost host_;
  Gate gate_{*this};
};

}  // namespace rhea::devices
