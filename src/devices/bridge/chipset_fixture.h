// What the tests of both chipsets stand on: address spaces, a clock, and a board that notes what it is told.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "async/fake_clock.h"
#include "bus/irq.h"
#include "devices/bridge/host_bridge_listener.h"
#include "devices/bridge/power_listener.h"
#include "memory/address_space.h"

namespace rhea::devices {

struct ChipsetTest : testing::Test {
  struct Lines : bus::IrqSink {
    std::map<unsigned, bool> level;
    void set_irq(unsigned pin, bool on) override { level[pin] = on; }
  };

  struct Board : HostBridgeListener, PowerListener {
    std::map<uint32_t, unsigned> pam;
    uint64_t tseg = 0;
    bool smram_open = false;
    int offs = 0, suspends = 0, smis = 0;
    void pam_changed(uint32_t start, uint32_t, bool read_ram, bool write_ram) override {
      pam[start] = (read_ram ? 1u : 0u) | (write_ram ? 2u : 0u);
    }
    void smram_changed(bool, bool open, bool) override { smram_open = open; }
    void tseg_changed(uint64_t size) override { tseg = size; }
    void power_off() override { ++offs; }
    void suspend_to_ram() override { ++suspends; }
    void raise_smi() override { ++smis; }
  };

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  async::FakeClock clock;
  Board board;
  int resets = 0;
};

}  // namespace rhea::devices
