#include "devices/irq/local_apic.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "async/fake_clock.h"
#include "devices/irq/apic_interconnect.h"
#include "devices/irq/local_apic_regs.h"

namespace rhea::devices {
namespace {

using namespace apic;

struct FakePic : bus::ExtIntSource {
  std::vector<uint8_t> waiting;
  bool extint_pending() const override { return !waiting.empty(); }
  uint8_t acknowledge_extint() override {
    uint8_t v = waiting.front();
    waiting.erase(waiting.begin());
    return v;
  }
};

struct FakeEoi : bus::EoiListener {
  std::vector<int> vectors;
  void end_of_interrupt(uint8_t vector) override { vectors.push_back(vector); }
};

struct LocalApicTest : ::testing::Test {
  static constexpr uint64_t kTscHz = 2'000'000'000;
  std::recursive_mutex lock;
  async::FakeClock clock;
  ApicInterconnect bus;
  FakePic pic;
  FakeEoi eoi;
  std::vector<std::unique_ptr<cpu::Core>> cores;
  std::vector<std::unique_ptr<LocalApic>> apics;
  std::vector<int> kicks;

  LocalApicTest() { bus.add_eoi_listener(eoi); }

  void build(unsigned count) {
    kicks.assign(count, 0);
    for (unsigned i = 0; i < count; ++i) {
      auto core = std::make_unique<cpu::Core>();
      core->index = core->apic_id = i;
      core->s.apic_base = 0xfee00800 | (i == 0 ? 0x100u : 0u);
      cores.push_back(std::move(core));
      apics.push_back(std::make_unique<LocalApic>(
          LocalApic::Wiring{.core = *cores[i],
                            .interconnect = bus,
                            .clock = clock,
                            .tsc_hz = kTscHz,
                            .kick = [this, i] { ++kicks[i]; },
                            .machine_lock = lock,
                            .extint = i == 0 ? &pic : nullptr,
                            .guest_tsc = [this] { return static_cast<uint64_t>(clock.now_ns()) * 2; }}));
      apics[i]->store(kSvr * 16, 4, 0x1ff);
    }
  }
  LocalApic& apic(unsigned i = 0) { return *apics[i]; }
  void write(Reg reg, uint32_t value, unsigned i = 0) { apics[i]->store(reg * 16, 4, value); }
  uint32_t read(uint32_t reg, unsigned i = 0) {
    uint64_t v = 0;
    EXPECT_TRUE(apics[i]->load(reg * 16, 4, v));
    return static_cast<uint32_t>(v);
  }
  void fixed(uint8_t vector, unsigned i = 0, bool level = false) {
    bus.deliver({.destination = i,
                 .logical = false,
                 .mode = bus::DeliveryMode::Fixed,
                 .vector = vector,
                 .level_triggered = level});
  }
  void enter_x2(unsigned i = 0) { EXPECT_TRUE(apics[i]->write_msr(0x1b, cores[i]->s.apic_base | 0x400)); }
};

TEST_F(LocalApicTest, higher_priority_nests_and_eoi_unwinds) {
  build(1);
  fixed(0x41);
  EXPECT_TRUE(apic().deliverable());
  EXPECT_EQ(apic().acknowledge(), 0x41);
  EXPECT_EQ(read(kPpr), 0x40u);
  fixed(0x45);  // same class: waits
  EXPECT_FALSE(apic().deliverable());
  fixed(0x52);
  EXPECT_EQ(apic().acknowledge(), 0x52);
  EXPECT_EQ(read(kIsr + 2), 1u << 1 | 1u << 18);
  write(kEoi, 0);
  EXPECT_FALSE(apic().deliverable());
  cores[0]->pending = 0;
  write(kEoi, 0);
  EXPECT_NE(cores[0]->pending & cpu::pending::kInterrupt, 0u);
  EXPECT_EQ(apic().acknowledge(), 0x45);
  EXPECT_EQ(apic().acknowledge(), -1);
}

TEST_F(LocalApicTest, tpr_holds_back_its_class) {
  build(1);
  write(kTpr, 0x50);
  fixed(0x5f);
  EXPECT_FALSE(apic().deliverable());
  EXPECT_EQ(read(kPpr), 0x50u);
  cores[0]->pending = 0;
  apic().set_tpr(0x40);
  EXPECT_NE(cores[0]->pending & cpu::pending::kInterrupt, 0u);
  EXPECT_EQ(apic().acknowledge(), 0x5f);
}

TEST_F(LocalApicTest, eoi_of_a_level_interrupt_is_broadcast) {
  build(1);
  fixed(0x61, 0, true);
  EXPECT_EQ(read(kTmr + 3), 2u);
  apic().acknowledge();
  write(kEoi, 0);
  EXPECT_EQ(eoi.vectors, std::vector<int>{0x61});
  fixed(0x61);
  EXPECT_EQ(read(kTmr + 3), 0u);
  apic().acknowledge();
  write(kEoi, 0);
  EXPECT_EQ(eoi.vectors.size(), 1u);
}

TEST_F(LocalApicTest, software_disable_refuses_fixed_and_masks_the_table) {
  build(1);
  write(kLvtError, 0xfe);
  write(kSvr, 0xff);
  EXPECT_EQ(read(kLvtError), 0x100feu);
  write(kLvtError, 0xfe);
  EXPECT_EQ(read(kLvtError), 0x100feu);
  fixed(0x50);
  EXPECT_EQ(read(kIrr + 2), 0u);
  bus.deliver({.destination = 0,
               .logical = false,
               .mode = bus::DeliveryMode::Nmi,
               .vector = 0,
               .level_triggered = false});
  EXPECT_NE(cores[0]->pending & cpu::pending::kNmi, 0u);
}

TEST_F(LocalApicTest, the_8259_comes_through_lint0) {
  build(2);
  EXPECT_EQ(read(kLvtLint0), 0x700u);
  EXPECT_EQ(read(kLvtLint0, 1), 0x10000u);
  pic.waiting = {0x20, 0x21};
  apic().set_irq(LocalApic::kLint0, true);
  EXPECT_EQ(kicks[0], 1);
  EXPECT_TRUE(apic().deliverable());
  EXPECT_EQ(apic().acknowledge(), 0x20);
  EXPECT_TRUE(apic().deliverable());
  write(kLvtLint0, 0x10700);
  EXPECT_FALSE(apic().deliverable());
  write(kLvtLint0, 0x700);
  EXPECT_EQ(apic().acknowledge(), 0x21);
  EXPECT_FALSE(apic().deliverable());
}

TEST_F(LocalApicTest, lint_pins_give_nmi_and_fixed) {
  build(1);
  write(kLvtLint1, 0x400);
  apic().set_irq(LocalApic::kLint1, true);
  EXPECT_NE(cores[0]->pending & cpu::pending::kNmi, 0u);
  write(kLvtLint0, 0x33);
  apic().set_irq(LocalApic::kLint0, true);
  EXPECT_EQ(apic().acknowledge(), 0x33);
}

TEST_F(LocalApicTest, logical_flat_and_cluster_destinations) {
  build(3);
  for (unsigned i = 0; i < 3; ++i) write(kLdr, 1u << (24 + i), i);
  bus.deliver({.destination = 6,
               .logical = true,
               .mode = bus::DeliveryMode::Fixed,
               .vector = 0x40,
               .level_triggered = false});
  EXPECT_FALSE(apic(0).deliverable());
  EXPECT_TRUE(apic(1).deliverable());
  EXPECT_TRUE(apic(2).deliverable());
  for (unsigned i = 0; i < 3; ++i) write(kDfr, 0, i);
  write(kLdr, 0x12000000, 0);
  write(kLdr, 0x21000000, 1);
  write(kLdr, 0x22000000, 2);
  bus.deliver({.destination = 0x22,
               .logical = true,
               .mode = bus::DeliveryMode::Fixed,
               .vector = 0x71,
               .level_triggered = false});
  EXPECT_EQ(read(kIrr + 3, 0), 0u);
  EXPECT_EQ(read(kIrr + 3, 1), 0u);
  EXPECT_EQ(read(kIrr + 3, 2), 1u << 17);
}

TEST_F(LocalApicTest, lowest_priority_goes_to_one_that_is_idle) {
  build(2);
  write(kLdr, 1u << 24, 0);
  write(kLdr, 2u << 24, 1);
  write(kTpr, 0x20, 0);
  for (int i = 0; i < 2; ++i) {
    bus.deliver({.destination = 3,
                 .logical = true,
                 .mode = bus::DeliveryMode::LowestPriority,
                 .vector = 0x51,
                 .level_triggered = false});
  }
  EXPECT_EQ(read(kIrr + 2, 0), 0u);
  EXPECT_NE(read(kIrr + 2, 1), 0u);
}

TEST_F(LocalApicTest, ipis_by_destination_and_shorthand) {
  build(3);
  write(kIcrHigh, 2u << 24);
  write(kIcrLow, 0x4055);
  EXPECT_TRUE(apic(2).deliverable());
  EXPECT_EQ(kicks[2], 1);
  EXPECT_FALSE(apic(1).deliverable());
  write(kIcrLow, 0xc4056);  // all but self
  EXPECT_TRUE(apic(1).deliverable());
  EXPECT_FALSE(apic(0).deliverable());
  write(kIcrLow, 0x44057);  // self
  EXPECT_EQ(apic(0).acknowledge(), 0x57);
  EXPECT_EQ(kicks[0], 0);
  write(kIcrLow, 0x84058);  // all
  EXPECT_EQ(read(kIrr + 2, 0), 1u << 24);
  EXPECT_EQ(read(kIcrLow), 0x84058u);
}

TEST_F(LocalApicTest, init_and_startup_reach_the_target) {
  build(2);
  write(kIcrHigh, 1u << 24);
  write(kIcrLow, 0x4500);
  EXPECT_EQ(cores[1]->pending, cpu::pending::kInit);
  write(kIcrLow, 0x8500);  // de-assert
  write(kIcrLow, 0x4699);
  EXPECT_EQ(cores[1]->pending, cpu::pending::kInit | cpu::pending::kSipi);
  EXPECT_EQ(cores[1]->sipi_vector, 0x99);
  EXPECT_EQ(cores[0]->pending, 0u);
  EXPECT_EQ(kicks[1], 2);
}

TEST_F(LocalApicTest, illegal_vectors_are_reported) {
  build(1);
  write(kLvtError, 0xe0);
  write(kIcrLow, 0x44005);
  EXPECT_EQ(apic().acknowledge(), 0xe0);
  EXPECT_EQ(read(kEsr), 0u);
  write(kEsr, 0);
  EXPECT_EQ(read(kEsr), kEsrSendIllegal);
  fixed(3);
  write(kEsr, 0);
  EXPECT_EQ(read(kEsr), kEsrReceiveIllegal);
}

TEST_F(LocalApicTest, one_shot_timer_counts_down_and_fires_once) {
  build(1);
  write(kTdcr, 0xb);  // divide by 1
  write(kLvtTimer, 0x30);
  write(kTmict, 1'000'000);
  clock.advance(400'000);
  EXPECT_EQ(read(kTmcct), 600'000u);
  EXPECT_FALSE(apic().deliverable());
  clock.advance(600'000);
  EXPECT_EQ(apic().acknowledge(), 0x30);
  EXPECT_EQ(kicks[0], 1);
  EXPECT_EQ(read(kTmcct), 0u);
  clock.advance(10'000'000);
  EXPECT_FALSE(apic().deliverable());
}

TEST_F(LocalApicTest, periodic_timer_keeps_its_phase) {
  build(1);
  write(kTdcr, 0x3);  // divide by 16
  write(kLvtTimer, 0x20031);
  write(kTmict, 62'500);  // 1 ms
  for (int i = 0; i < 5; ++i) {
    clock.advance(1'000'000);
    EXPECT_EQ(apic().acknowledge(), 0x31) << i;
    write(kEoi, 0);
  }
  write(kLvtTimer, 0x30031);  // masked
  clock.advance(5'000'000);
  EXPECT_FALSE(apic().deliverable());
  write(kTmict, 0);
  write(kLvtTimer, 0x20031);
  clock.advance(5'000'000);
  EXPECT_FALSE(apic().deliverable());
}

TEST_F(LocalApicTest, tsc_deadline_fires_at_its_tsc) {
  build(1);
  write(kLvtTimer, 0x40032);
  apic().set_tsc_deadline(2'000'000);  // at 1 ms
  EXPECT_EQ(apic().tsc_deadline(), 2'000'000u);
  clock.advance(999'000);
  EXPECT_FALSE(apic().deliverable());
  clock.advance(1'002);
  EXPECT_EQ(apic().acknowledge(), 0x32);
  EXPECT_EQ(apic().tsc_deadline(), 0u);
  write(kEoi, 0);
  apic().set_tsc_deadline(1);  // long past
  EXPECT_EQ(apic().acknowledge(), 0x32);
  write(kEoi, 0);
  apic().set_tsc_deadline(9'000'000);
  apic().set_tsc_deadline(0);
  clock.advance(20'000'000);
  EXPECT_FALSE(apic().deliverable());
  write(kTmict, 100);  // nothing in this mode
  clock.advance(20'000'000);
  EXPECT_FALSE(apic().deliverable());
}

TEST_F(LocalApicTest, an_earlier_deadline_replaces_a_later_one) {
  build(1);
  write(kLvtTimer, 0x40032);
  apic().set_tsc_deadline(20'000'000);
  apic().set_tsc_deadline(2'000'000);
  clock.advance(1'000'100);
  EXPECT_EQ(apic().acknowledge(), 0x32);
  write(kEoi, 0);
  apic().set_tsc_deadline(20'000'000);
  clock.advance(8'000'000);
  EXPECT_FALSE(apic().deliverable());
  clock.advance(1'000'100);
  EXPECT_EQ(apic().acknowledge(), 0x32);
}

TEST_F(LocalApicTest, x2apic_registers_are_msrs) {
  build(2);
  enter_x2();
  uint64_t v = 0;
  EXPECT_FALSE(apic().load(kId * 16, 4, v));
  EXPECT_TRUE(apic().read_msr(0x802, v));
  EXPECT_EQ(v, 0u);
  enter_x2(1);
  EXPECT_TRUE(apic(1).read_msr(0x80d, v));
  EXPECT_EQ(v, 2u);
  EXPECT_TRUE(apic().write_msr(0x830, uint64_t{1} << 32 | 0x4066));
  EXPECT_EQ(apic(1).acknowledge(), 0x66);
  EXPECT_TRUE(apic().write_msr(0x830, uint64_t{3} << 32 | 0x4867));  // logical cluster 0, both
  EXPECT_EQ(apic().acknowledge(), 0x67);
  EXPECT_TRUE(apic().write_msr(0x83f, 0x77));
  EXPECT_EQ(apic().acknowledge(), 0x77);
  EXPECT_TRUE(apic().write_msr(0x80b, 0));
  EXPECT_FALSE(apic().write_msr(0x80b, 1));
  EXPECT_FALSE(apic().read_msr(0x80b, v));
  EXPECT_FALSE(apic().write_msr(0x802, 0));
  EXPECT_FALSE(apic().write_msr(0x80e, 0));
  EXPECT_FALSE(apic().write_msr(0x808, 0x100));
  EXPECT_FALSE(apic().read_msr(0x831, v));
  EXPECT_FALSE(apic().write_msr(0x828, 1));
}

TEST_F(LocalApicTest, base_allows_only_the_legal_transitions) {
  build(1);
  uint64_t base = cores[0]->s.apic_base;
  EXPECT_FALSE(apic().write_msr(0x1b, base | 1));
  EXPECT_FALSE(apic().write_msr(0x1b, (base & ~uint64_t{0x800}) | 0x400));
  EXPECT_FALSE(apic().write_msr(0x1b, base | uint64_t{1} << 45));
  enter_x2();
  EXPECT_FALSE(apic().write_msr(0x1b, base));
  EXPECT_TRUE(apic().write_msr(0x1b, base & ~uint64_t{0x800}));
  uint64_t v;
  EXPECT_FALSE(apic().load(kId * 16, 4, v));
  EXPECT_FALSE(apic().write_msr(0x1b, base | 0x400));
  EXPECT_TRUE(apic().write_msr(0x1b, base));
  EXPECT_EQ(read(kSvr), 0xffu);
}

TEST_F(LocalApicTest, a_disabled_apic_lets_the_8259_through) {
  build(1);
  EXPECT_TRUE(apic().write_msr(0x1b, 0xfee00100));
  pic.waiting = {0x08};
  apic().set_irq(LocalApic::kLint0, true);
  EXPECT_TRUE(apic().deliverable());
  EXPECT_EQ(apic().acknowledge(), 0x08);
  fixed(0x50);
  EXPECT_FALSE(apic().deliverable());
}

TEST_F(LocalApicTest, init_clears_registers_and_keeps_the_mode) {
  build(2);
  enter_x2(1);
  fixed(0x50, 1);
  EXPECT_TRUE(apic(1).write_msr(0x808, 0x20));
  apic(1).init();
  EXPECT_FALSE(apic(1).deliverable());
  uint64_t v = 0;
  EXPECT_TRUE(apic(1).read_msr(0x808, v));
  EXPECT_EQ(v, 0u);
  EXPECT_TRUE(apic(1).read_msr(0x80d, v));
  EXPECT_EQ(v, 2u);
}

}  // namespace
}  // namespace rhea::devices
