// The devices that guest test suites rely on, and the board's clocks: edu,
// pci-testdev, pc-testdev (all as their documentation in QEMU's docs/specs and
// the kvm-unit-tests programs use them), ACPI PM timer, HPET.
#include "pci.h"
#include "smp.h"
#include "test.h"

namespace {
// Skips the test when there is none.
unsigned find_pci(u32 id, const char* why) {
  int slot = pci_find(id);
  if (slot < 0) skip(why);
  return static_cast<unsigned>(slot);
}
}  // namespace

TEST(edu_registers_and_factorial) {
  volatile u32* edu = pci_memory_bar(find_pci(0x11e81234, "no edu device"));
  expect(edu[0] & 0xff, 0xed, "identification");
  edu[1] = 0x12345678;
  expect(edu[1], ~0x12345678u, "liveness: inverted");
  static const u32 numbers[] = {0, 1, 5, 10, 12};
  for (u32 n : numbers) {
    u32 want = 1;
    for (u32 i = 2; i <= n; ++i) want *= i;
    edu[2] = n;
    for (unsigned i = 0; (edu[0x20 / 4] & 1) && i < 1000; ++i) delay_us(1000);
    expect(edu[2], want, "factorial");
  }
}

TEST(edu_interrupt) {
  const unsigned slot = find_pci(0x11e81234, "no edu device");
  volatile u32* edu = pci_memory_bar(slot);
  const unsigned line = pci_read(slot, 0x3c) & 0xff;
  if (line > 15) skip("the firmware gave it no line");
  expect(edu[0x24 / 4], 0, "nothing raised");
  edu[0x60 / 4] = 0x5;
  expect(edu[0x24 / 4], 5, "raised");
  expect(pci_read(slot, 4) >> 19 & 1, 1, "PCI status: INTx pending");
  edu[0x64 / 4] = 4;
  expect(edu[0x24 / 4], 1, "acknowledged in part");
  edu[0x64 / 4] = 1;
  expect(edu[0x24 / 4], 0, "acknowledged");
  expect(pci_read(slot, 4) >> 19 & 1, 0, "PCI status");
}

TEST(pci_testdev_counts_writes) {
  const unsigned slot = find_pci(0x00051b36, "no pci-testdev");
  volatile u8* bar = reinterpret_cast<volatile u8*>(pci_memory_bar(slot));
  auto word = [bar](unsigned at) { return *reinterpret_cast<volatile u32*>(bar + at); };
  unsigned tests = 0;
  for (; tests < 16; ++tests) {
    bar[0] = static_cast<u8>(tests);
    if (bar[1] == 0) break;  // no such test
    expect(bar[1], 1, "width");
    const u32 offset = word(4), data = word(8);
    expect(word(12), 0, "count at first");
    for (int i = 0; i < 5; ++i) bar[offset] = static_cast<u8>(data);
    expect(word(12), 5, "count");
    expect_true(bar[16] == 'm', "name begins with mmio");
  }
  expect_true(tests >= 1, "tests");
}

TEST(pc_testdev_ports_memory_and_lines) {
  out8(0xe0, 0x5a);
  if (in8(0xe0) != 0x5a) skip("no pc-testdev");
  out32(0xe0, 0x12345678);
  expect(in32(0xe0), 0x12345678, "scratch port");
  expect(in16(0xe0), 0x5678, "its lower half");
  volatile u32* memory = reinterpret_cast<volatile u32*>(Word{0xff000000});
  memory[3] = 0xabcd1234;
  expect(memory[3], 0xabcd1234, "memory without RAM behind");
  u32 old = 0xabcd1234;
  asm volatile("lock xaddl %0,%1" : "+r"(old), "+m"(memory[3]) : : "cc");
  expect(old, 0xabcd1234, "locked access to it");
  expect(memory[3], 0x579a2468, "sum");
  // Line 4 of the first 8259: its request register shows it.
  out8(0x2000 + 4, 1);
  out8(0x20, 0x0a);
  const u8 raised = in8(0x20);
  out8(0x2000 + 4, 0);
  expect(raised >> 4 & 1, 1, "IRR while the line is high");
}

TEST(clocks_go_with_the_pit) {
  // Nothing may be said of how much longer it takes on a busy host.
  constexpr unsigned kUs = 20000;
  volatile u32* hpet = reinterpret_cast<volatile u32*>(Word{0xfed00000});
  const bool has_hpet = (hpet[0] & 0xffff0000) == 0x80860000;
  const u64 period_fs = has_hpet ? hpet[1] : 1;
  if (has_hpet) hpet[4] = 1;  // runs
  const u32 pm = in32(0x608), ticks = has_hpet ? hpet[0xf0 / 4] : 0;
  delay_us(kUs);
  const u32 pm_went = (in32(0x608) - pm) & 0xffffff, hpet_went = has_hpet ? hpet[0xf0 / 4] - ticks : 0;
  expect_true(pm_went >= 3579545ull * kUs / 1000000 * 98 / 100, "PM timer");
  if (has_hpet) expect_true(hpet_went * period_fs / 1000000000 >= u64{kUs} * 98 / 100, "HPET");
}
