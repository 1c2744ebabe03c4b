// Runs small real-mode programs; skipped where the host has no KVM.
#include "engine/kvm/kvm_engine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "cpu/control_transfer.h"

namespace rhea::kvm {
namespace {

using namespace cpu;

class Ports final : public memory::IoHandler {
 public:
  uint64_t io_read(uint64_t offset, unsigned) override { return offset + 0x40; }
  void io_write(uint64_t, unsigned size, uint64_t value) override {
    written.push_back(value);
    sizes.push_back(size);
  }
  std::vector<uint64_t> written;
  std::vector<unsigned> sizes;
};

class OneInterrupt final : public InterruptController {
 public:
  bool deliverable() override { return vector >= 0; }
  int acknowledge() override { return std::exchange(vector, -1); }
  uint8_t tpr() const override { return 0; }
  void set_tpr(uint8_t) override {}
  bool read_msr(uint32_t, uint64_t&) override { return false; }
  bool write_msr(uint32_t, uint64_t) override { return true; }
  void init() override {}
  void set_tsc_deadline(uint64_t) override {}
  uint64_t tsc_deadline() const override { return 0; }
  int vector = -1;
};

struct KvmEngineTest : testing::Test {
  void SetUp() override {
    ASSERT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
    ASSERT_TRUE(port_space.map_io(Gpa{0x10}, 0x10, ports));
    auto opened = KvmMachine::open();
    if (!opened) GTEST_SKIP() << opened.error().message();
    machine = std::move(*opened);
    machine->attach(memory);
    engine = std::move(KvmEngine::create(*machine, 0).value());
    Core& core = engine->core();
    core.memory = &memory;
    core.ports = &port_space;
    core.apic = &apic;
    reset_core(core, true);
  }
  CpuState& state() { return engine->core().s; }
  void load(std::vector<uint8_t> code) {
    std::memcpy(ram->host() + 0x1000, code.data(), code.size());
    state().seg[CS].selector = 0;
    state().seg[CS].base = 0;
    state().rip = 0x1000;
    state().gpr[RSP] = 0x8000;
    engine->push();
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace port_space{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram = memory::RamBlock::create("ram", 0x100000).value();
  Ports ports;
  OneInterrupt apic;
  std::unique_ptr<KvmMachine> machine;
  std::unique_ptr<KvmEngine> engine;
};

TEST_F(KvmEngineTest, port_accesses_reach_the_address_space_and_hlt_ends_the_run) {
  load({0xe4, 0x12,        // in al, 0x12
        0xe6, 0x10,        // out 0x10, al
        0xb8, 0x34, 0x12,  // mov ax, 0x1234
        0xe7, 0x14,        // out 0x14, ax
        0xf4});            // hlt
  EXPECT_EQ(engine->run(), Exit::Halted);
  EXPECT_EQ(ports.written, (std::vector<uint64_t>{0x42, 0x1234}));
  EXPECT_EQ(ports.sizes, (std::vector<unsigned>{1, 2}));
  engine->pull();
  EXPECT_EQ(state().rip, 0x100au);
  EXPECT_EQ(state().gpr[RAX] & 0xffff, 0x1234u);
  EXPECT_EQ(engine->run(), Exit::Halted);
}

TEST_F(KvmEngineTest, interrupt_wakes_a_halted_vcpu) {
  uint16_t handler[2] = {0x1100, 0};
  std::memcpy(ram->host() + 0x20 * 4, handler, sizeof handler);
  const uint8_t handler_code[] = {0xb0, 0x77, 0xe6, 0x10, 0xcf};  // mov al, 0x77; out 0x10, al; iret
  std::memcpy(ram->host() + 0x1100, handler_code, sizeof handler_code);
  load({0xfb, 0xf4, 0xe6, 0x11, 0xfa, 0xf4});  // sti; hlt; out 0x11, al; cli; hlt
  EXPECT_EQ(engine->run(), Exit::Halted);
  EXPECT_TRUE(ports.written.empty());
  apic.vector = 0x20;
  EXPECT_EQ(engine->run(), Exit::Halted);
  EXPECT_EQ(ports.written, (std::vector<uint64_t>{0x77, 0x77}));
}

TEST_F(KvmEngineTest, kick_ends_a_loop) {
  load({0xeb, 0xfe});  // jmp $
  std::thread kicker([&] {
    engine->core().pending.fetch_or(pending::kExit);
    engine->kick();
  });
  EXPECT_EQ(engine->run(), Exit::Kicked);
  kicker.join();
  engine->pull();
  EXPECT_EQ(state().rip, 0x1000u);
}

TEST_F(KvmEngineTest, triple_fault_is_reported) {
  state().idtr.limit = 0;
  state().cr0 |= cr0::PE;
  for (SegIndex i : {ES, CS, SS, DS, FS, GS}) {
    state().seg[i] = {
        .base = 0, .limit = 0xffffffff, .attr = i == CS ? 0xc09bu : 0xc093u, .selector = 8, .pad = {}};
  }
  load({0x0f, 0x0b});  // ud2
  EXPECT_EQ(engine->run(), Exit::TripleFault);
}

TEST_F(KvmEngineTest, breakpoint_and_step_stop_the_run) {
  load({0x90, 0x90, 0x90, 0xf4});
  DebugRequest::Point point{0x1002, 1, DebugRequest::Point::Kind::Execute};
  DebugRequest request{.single_step = false, .points = &point, .count = 1};
  engine->set_debug(&request);
  EXPECT_EQ(engine->run(), Exit::Debug);
  EXPECT_EQ(engine->debug_hit().kind, DebugHit::Kind::Execute);
  engine->pull();
  EXPECT_EQ(state().rip, 0x1002u);
  request = {.single_step = true, .points = nullptr, .count = 0};
  engine->set_debug(&request);
  EXPECT_EQ(engine->run(), Exit::Debug);
  EXPECT_EQ(engine->debug_hit().kind, DebugHit::Kind::Step);
  engine->pull();
  EXPECT_EQ(state().rip, 0x1003u);
}

TEST_F(KvmEngineTest, read_only_memory_keeps_its_value) {
  auto rom = memory::RamBlock::create("rom", 0x1000).value();
  rom->host()[0] = 0x5a;
  ASSERT_TRUE(memory.map_ram(Gpa{0x20000}, *rom, 0, 0x1000, memory::RamAccess::ReadOnly, 1));
  load({0xb8, 0x00, 0x20,        // mov ax, 0x2000
        0x8e, 0xd8,              // mov ds, ax
        0xc6, 0x06, 0, 0, 0x11,  // mov byte [0], 0x11
        0xa0, 0, 0,              // mov al, [0]
        0xe6, 0x10, 0xf4});      // out 0x10, al; hlt
  EXPECT_EQ(engine->run(), Exit::Halted);
  EXPECT_EQ(ports.written, (std::vector<uint64_t>{0x5a}));
}

}  // namespace
}  // namespace rhea::kvm
