// What the tests of the PC boards stand on: a host that counts what it is asked, cores, ports and
// configuration space as the guest reaches them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "async/fake_clock.h"
#include "machine/pc/pc_board.h"

namespace rhea::machine {

struct CountingHost final : MachineHost {
  void request_reset() override { resets++; }
  void request_power_off() override { power_offs++; }
  void request_suspend() override {}
  void request_exit(int status) override { exit_status = status; }
  void kick(unsigned vcpu) override { kicks[vcpu]++; }
  int resets = 0, power_offs = 0, exit_status = -1;
  std::map<unsigned, int> kicks;
};

struct BoardTest : testing::Test {
  BoardTest() { config.bios.assign(256 << 10, 0xf4); }
  void build(unsigned cpus = 2) {
    config.ram_bytes = 32 << 20;
    config.topology.sockets = cpus;
    cores.resize(cpus);
    std::vector<cpu::Core*> pointers;
    for (auto& core : cores) {
      core = std::make_unique<cpu::Core>();
      core->s.apic_base = 0xfee00900;
      core->index = static_cast<unsigned>(pointers.size());
      pointers.push_back(core.get());
    }
    auto made = PcBoard::create(config, {host, lock, clock, clock, pointers});
    ASSERT_TRUE(made) << made.error().message();
    board = std::move(*made);
    board->reset();
  }
  uint64_t in(uint16_t port, unsigned size = 1) { return board->ports().load(port, size); }
  void out(uint16_t port, uint64_t value, unsigned size = 1) { board->ports().store(port, size, value); }
  uint64_t pci_in(unsigned devfn, unsigned reg, unsigned size) {
    out(0xcf8, 0x80000000 | devfn << 8 | (reg & 0xfc), 4);
    return in(static_cast<uint16_t>(0xcfc + (reg & 3)), size);
  }
  void pci_out(unsigned devfn, unsigned reg, uint64_t value, unsigned size) {
    out(0xcf8, 0x80000000 | devfn << 8 | (reg & 0xfc), 4);
    out(static_cast<uint16_t>(0xcfc + (reg & 3)), value, size);
  }

  std::recursive_mutex lock;
  async::FakeClock clock;
  CountingHost host;
  PcConfig config;
  std::vector<std::unique_ptr<cpu::Core>> cores;
  std::unique_ptr<PcBoard> board;
};

}  // namespace rhea::machine
