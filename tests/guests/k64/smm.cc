// System management mode: entry by the APM port, the save area, RSM. The
// firmware has relocated SMBASE to 0xa0000 and left D_LCK clear; the handler at
// SMBASE + 0x8000 is replaced for the time of a test. SDM 3C 31; AMD64 manual
// volume 2, 10.2 (layout of the save area, revision 0x20064).
#include "test.h"

namespace {
u8 pci_read8(unsigned reg) {
  out32(0xcf8, 0x80000000 | (reg & ~3u));
  return in8(static_cast<u16>(0xcfc + (reg & 3)));
}
void pci_write8(unsigned reg, u8 v) {
  out32(0xcf8, 0x80000000 | (reg & ~3u));
  out8(static_cast<u16>(0xcfc + (reg & 3)), v);
}
constexpr unsigned kSmramc = 0x72;
// The handler: 16-bit code, DS base of its own; copies 512 bytes of save area
// to 0x60000, a marker behind it, changes RAX in the save area, RSM.
asm(R"(
  .code16
smm_handler:
  mov %cs:0xfefc, %eax
  mov %eax, %cs:0x8100
  mov $0x6000, %ax
  mov %ax, %es
  mov $0xfe00, %si
  xor %di, %di
  mov $512, %cx
  cld
  rep movsb %cs:(%si), %es:(%di)
  incl %es:0x200
  mov %cs, %ax
  mov %ax, %es:0x204
  mov %cr0, %eax
  mov %eax, %es:0x208
  pushf
  rsm
smm_handler_end:
  .code64
)");
extern "C" u8 smm_handler[], smm_handler_end[];
u8* const smram = reinterpret_cast<u8*>(0xa8000);
u8* const area = reinterpret_cast<u8*>(0x60000);
u8 saved[512];

bool open_smram() {
  if (pci_read8(0) != 0x86 || pci_read8(2) != 0x37) return false;   // 8086:1237
  if (pci_read8(kSmramc) & 0x10) return false;                      // D_LCK
  pci_write8(kSmramc, static_cast<u8>(pci_read8(kSmramc) | 0x40));  // D_OPEN
  return true;
}
void close_smram() {
  pci_write8(kSmramc, static_cast<u8>(pci_read8(kSmramc) & ~0x40));
}
}  // namespace

TEST(smm_entry_and_rsm) {
  if (!open_smram()) skip("SMRAM is locked or there is none");
  copy(saved, smram, sizeof saved);
  copy(smram, smm_handler, static_cast<Word>(smm_handler_end - smm_handler));
  close_smram();
  memset(area, 0, 0x300);
  Word after_rax = 0x1122334455667788, at = 0, rbx = 0xbbbb0000bbbb0000, r12 = 0x1212121212121212, flags = 0;
  asm volatile(R"(
    lea 1f(%%rip),%1
    mov $0x1122334455667788,%%rax
    mov $0x0,%%al
    out %%al,$0xb2
 1: nop
    nop
    pushfq
    pop %3
    mov %%rax,%0)"
               : "=&r"(after_rax), "=&r"(at), "+b"(rbx), "=&r"(flags)
               :
               : "rax", "memory", "cc");
  asm volatile("" : "+r"(r12));
  if (!open_smram()) skip("locked meanwhile");
  copy(smram, saved, sizeof saved);
  close_smram();
  if (!*reinterpret_cast<volatile u32*>(area + 0x200)) skip("port 0xb2 raised no SMI here");
  expect(*reinterpret_cast<volatile u32*>(area + 0x200), 1, "once");
  expect(*reinterpret_cast<volatile u32*>(area + 0x208) & 0x80000001, 0, "real-like mode: PE and PG clear");
  expect(after_rax, 0x1122334455667700, "rax unchanged");
  expect(rbx, 0xbbbb0000bbbb0000, "rbx unchanged");
  // Save area, offsets from SMBASE + 0x8000 of the AMD64 layout: 0x7efc revision, 0x7f78 RIP, 0x7f58 CR0,
  // 0x7f50 CR3, 0x7f48 CR4, 0x7fd8 RBX? by register order.
  const u32 revision = *reinterpret_cast<volatile u32*>(area + 0x0fc);
  expect(revision & 0xffff, 0x64, "revision of the AMD64 layout");
  const u64 rip = *reinterpret_cast<volatile u64*>(area + 0x178);
  expect_true(rip == at || rip == at + 1, "RIP behind the OUT");
  expect(*reinterpret_cast<volatile u64*>(area + 0x158), read_cr0(), "CR0");
  expect(*reinterpret_cast<volatile u64*>(area + 0x150), read_cr3(), "CR3");
  expect(*reinterpret_cast<volatile u64*>(area + 0x148), read_cr4(), "CR4");
  expect(*reinterpret_cast<volatile u64*>(area + 0x1f8), 0x1122334455667700, "RAX");
  expect(*reinterpret_cast<volatile u64*>(area + 0xd0), read_msr(kMsrEfer), "EFER");
}

TEST(smm_firmware_handler_changes_nothing) {
  const Word cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
  const u64 efer = read_msr(kMsrEfer);
  for (int i = 0; i < 10; ++i) out8(0xb2, 0x42);
  expect(read_cr0(), cr0, "CR0");
  expect(read_cr3(), cr3, "CR3");
  expect(read_cr4(), cr4, "CR4");
  expect(read_msr(kMsrEfer), efer, "EFER");
}

TEST(smm_rsm_outside_is_ud) {
  expect_trap(attempt([] { asm volatile("rsm"); }), kUD, 0, "rsm");
}

TEST(smm_ram_is_hidden) {
  // Closed, 0xa8000 is not SMRAM: writing there does not reach the handler.
  if (!open_smram()) skip("SMRAM is locked or there is none");
  const u8 first = smram[0];
  close_smram();
  smram[0] = static_cast<u8>(first ^ 0xff);
  open_smram();
  expect(smram[0], first, "the handler's byte");
  close_smram();
}
