// Self- and cross-modifying code. SDM 3A 8.1.3, 11.6: x86 needs no more than a
// jump (own linear address) or a serialising instruction (another mapping,
// another processor); real processors do not even need the jump.
#include "paging.h"
#include "pci.h"
#include "smp.h"
#include "test.h"

namespace {
using Function = u32 (*)();
// mov $value,%eax; ret
void put_return(void* at, u32 value) {
  volatile u8* p = static_cast<volatile u8*>(at);
  p[0] = 0xb8;
  for (unsigned i = 0; i < 4; ++i) p[1 + i] = static_cast<u8>(value >> 8 * i);
  p[5] = 0xc3;
}
u32 call(void* at) {
  u32 v;
  asm volatile("call *%1" : "=a"(v) : "r"(at) : "memory", "rcx", "rdx", "cc");
  return v;
}
void serialise() {
  cpuid(0);
}
constexpr Word kViewA = 0x60000000000, kViewB = 0x61000000000;
}  // namespace

TEST(smc_rewrite_a_function) {
  void* code = new_page();
  for (u32 i = 0; i < 200; ++i) {
    put_return(code, i);
    if (call(code) != i) return fail("value", call(code), i);
  }
}

TEST(smc_patch_the_immediate_only) {
  u8* code = static_cast<u8*>(new_page());
  put_return(code, 0);
  for (u32 i = 1; i < 200; ++i) {
    *reinterpret_cast<volatile u32*>(code + 1) = i;
    expect(call(code), i, "value");
  }
}

TEST(smc_next_instruction) {
  // movb $0x41 to the immediate of the very next instruction.
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0xc6, 0x05, 1, 0, 0, 0,   0x41,  // movb $0x41, 1(%rip): the byte behind b8
                               0xb8, 0,    0, 0, 0, 0xc3};
  copy(code, program, sizeof program);
  expect(call(code), 0x41, "the changed immediate is executed");
  code[8] = 0;
  expect(call(code), 0x41, "again");
}

TEST(smc_push_over_the_next_instruction) {
  // The stack pointer is put behind the immediate of the instruction after the PUSH.
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0x48, 0x89, 0xe1,                            // mov %rsp,%rcx
                               0x48, 0x8d, 0x25, 9,   0, 0,    0,           // 3: lea 9(%rip),%rsp: 19
                               0x52,                                        // 10: push %rdx, to 11
                               0xb8, 1,    0,    0,   0, 0x90, 0x90, 0x90,  // 11: mov $1,%eax
                               0x48, 0x89, 0xcc, 0xc3};                     // 19: mov %rcx,%rsp; ret
  for (u32 round = 0; round < 3; ++round) {
    copy(code, program, sizeof program);
    u32 v;
    asm volatile("call *%1" : "=a"(v) : "r"(code), "d"(0x90909000000077b8) : "rcx", "memory", "cc");
    expect(v, 0x77, "what was pushed is executed");
  }
}

TEST(smc_loop_patches_itself) {
  // add $imm8,%eax; incb imm; dec %ecx; jnz: sums 1..n.
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0x31, 0xc0, 0xb9, 50,   0,    0,    0, 0x83, 0xc0, 1,  // 7: add $1,%eax
                               0xfe, 0x05, 0xf9, 0xff, 0xff, 0xff,  // 10: incb -7(%rip) = byte 9
                               0xff, 0xc9, 0x75, 0xf3, 0xc3};
  copy(code, program, sizeof program);
  expect(call(code), 50 * 51 / 2, "sum");
}

TEST(smc_rep_movs_over_the_following_code) {
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0xf3, 0xa4, 0xb8, 1, 0, 0, 0, 0xc3};  // rep movsb; mov $1,%eax; ret
  static u8 patch[6] = {0xb8, 0x99, 0, 0, 0, 0xc3};
  copy(code, program, sizeof program);
  u32 v;
  void *s = patch, *d = code + 2;
  Word n = sizeof patch;
  asm volatile("call *%4" : "=a"(v), "+S"(s), "+D"(d), "+c"(n) : "r"(code) : "memory", "cc");
  expect(v, 0x99, "value");
}

TEST(smc_data_next_to_code) {
  // Code and the data it changes share a line: stays right, whatever it costs.
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0xff, 0x05, 0x0a, 0,    0,    0,    0x8b, 0x05, 0x04, 0,
                               0,    0,    0xc3, 0x90, 0x90, 0x90, 0,    0,    0,    0};
  copy(code, program, sizeof program);
  for (u32 i = 1; i < 300; ++i) expect(call(code), i, "counter");
}

TEST(smc_many_functions_in_one_page) {
  u8* code = static_cast<u8*>(new_page());
  for (u32 round = 0; round < 20; ++round) {
    for (u32 i = 0; i < 64; ++i) put_return(code + 64 * i, round * 1000 + i);
    for (u32 i = 0; i < 64; ++i) expect(call(code + 64 * i), round * 1000 + i, "value");
  }
}

TEST(smc_store_across_two_code_pages) {
  u8* code = static_cast<u8*>(new_page());
  u8* second = static_cast<u8*>(new_page());
  if (second != code + 4096) skip("pages are not adjacent");
  put_return(code + 4096 - 3, 0x11223344);
  expect(call(code + 4096 - 3), 0x11223344, "instruction across pages");
  *reinterpret_cast<volatile u64*>(code + 4096 - 3) = 0x9090c355667788b8;
  expect(call(code + 4096 - 3), 0x55667788, "after one store across both");
  code[4096] = 0x12;  // third byte of the immediate is in the second page
  expect(call(code + 4096 - 3), 0x55126688 | 0x1100, "after a store to the second page");
}

TEST(smc_two_mappings) {
  void* page = new_page();
  const u64 physical = reinterpret_cast<Word>(page);
  map_page(kViewA, physical, kP | kW);
  map_page(kViewB, physical, kP | kW);
  for (u32 i = 0; i < 100; ++i) {
    put_return(reinterpret_cast<void*>(kViewA), i);
    serialise();
    expect(call(reinterpret_cast<void*>(kViewB)), i, "written at A, run at B");
    put_return(page, i + 1000);
    serialise();
    expect(call(reinterpret_cast<void*>(kViewA)), i + 1000, "written one to one, run at A");
  }
}

TEST(smc_write_protected_then_writable_mapping) {
  void* page = new_page();
  map_page(kViewA, reinterpret_cast<Word>(page), kP);
  put_return(page, 1);
  serialise();
  expect(call(reinterpret_cast<void*>(kViewA)), 1, "first");
  put_return(page, 2);
  serialise();
  expect(call(reinterpret_cast<void*>(kViewA)), 2, "second");
}

TEST(smc_page_remapped) {
  void *one = new_page(), *two = new_page();
  put_return(one, 1);
  put_return(two, 2);
  for (int i = 0; i < 50; ++i) {
    map_page(kViewA, reinterpret_cast<Word>(one), kP);
    expect(call(reinterpret_cast<void*>(kViewA)), 1, "page one");
    map_page(kViewA, reinterpret_cast<Word>(two), kP);
    expect(call(reinterpret_cast<void*>(kViewA)), 2, "page two");
  }
}

TEST(smc_crossing_instruction_second_page_remapped) {
  u8 *first = static_cast<u8*>(new_page()), *one = static_cast<u8*>(new_page()),
     *two = static_cast<u8*>(new_page());
  const u8 bytes[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3};
  copy(first + 4093, bytes, 3);
  copy(one, bytes + 3, 3);
  const u8 other[] = {0x99, 0x88, 0xc3};
  copy(two, other, 3);
  map_page(kViewA, reinterpret_cast<Word>(first), kP);
  for (int i = 0; i < 50; ++i) {
    map_page(kViewA + 4096, reinterpret_cast<Word>(one), kP);
    expect(call(reinterpret_cast<void*>(kViewA + 4093)), 0x12345678, "page one");
    map_page(kViewA + 4096, reinterpret_cast<Word>(two), kP);
    expect(call(reinterpret_cast<void*>(kViewA + 4093)), 0x88995678, "page two");
  }
}

TEST(smc_crossing_instruction_second_page_absent) {
  u8* first = static_cast<u8*>(new_page());
  const u8 bytes[] = {0xb8, 0x78, 0x56};
  copy(first + 4093, bytes, 3);
  map_page(kViewA, reinterpret_cast<Word>(first), kP);
  map_page(kViewA + 4096, 0, 0);
  const Trap t = attempt([] { call(reinterpret_cast<void*>(kViewA + 4093)); });
  expect_trap(t, kPF, 0x10, "fetch from the second page");
  expect(t.cr2, kViewA + 4096, "CR2 is in the second page");
  expect(t.ip, kViewA + 4093, "ip is the start of the instruction");
}

TEST(smc_jit_pattern) {
  // Write through a writable mapping, run through an executable one, many pages.
  for (u32 i = 0; i < 16; ++i) {
    void* page = new_page();
    map_page(kViewA + i * 4096, reinterpret_cast<Word>(page), kP | kW | kNx);
    map_page(kViewB + i * 4096, reinterpret_cast<Word>(page), kP);
  }
  for (u32 round = 0; round < 10; ++round) {
    for (u32 i = 0; i < 16; ++i) {
      put_return(reinterpret_cast<void*>(kViewA + i * 4096 + round * 128), round * 100 + i);
      serialise();
      expect(call(reinterpret_cast<void*>(kViewB + i * 4096 + round * 128)), round * 100 + i, "value");
    }
  }
}

// ---- DMA ----

namespace {
// The edu test device (1234:11e8), its BAR mapped; nullptr if there is none.
volatile u32* find_edu() {
  int slot = pci_find(0x11e81234);
  if (slot < 0) return nullptr;
  auto edu = static_cast<unsigned>(slot);
  if (!(pci_read(edu, 0x10) & ~0xfu)) pci_write(edu, 0x10, 0xfeb00000);
  return pci_memory_bar(edu);
}
void edu_dma(volatile u32* edu, u64 source, u64 destination, u32 bytes, u32 command) {
  edu[0x80 / 4] = static_cast<u32>(source);
  edu[0x84 / 4] = 0;
  edu[0x88 / 4] = static_cast<u32>(destination);
  edu[0x8c / 4] = 0;
  edu[0x90 / 4] = bytes;
  edu[0x94 / 4] = 0;
  edu[0x98 / 4] = command;
  while (edu[0x98 / 4] & 1) pause();
}
}  // namespace

TEST(smc_dma_edu) {
  volatile u32* edu = find_edu();
  if (!edu) skip("no edu device");
  u8 *code = static_cast<u8*>(new_page()), *source = static_cast<u8*>(new_page());
  for (u32 i = 0; i < 10; ++i) {
    put_return(code, 0xdead);
    expect(call(code), 0xdead, "before");
    put_return(source, i);
    edu_dma(edu, reinterpret_cast<Word>(source), 0x40000, 8, 1);  // memory to device
    edu_dma(edu, 0x40000, reinterpret_cast<Word>(code), 8, 3);    // device to memory
    serialise();
    expect(call(code), i, "code that DMA wrote");
  }
}

TEST(smc_dma_fw_cfg) {
  // fw_cfg item 0 is "QEMU": push %rcx; push %r13 as code.
  static volatile struct {
    u32 control, length;
    u64 address;
  } request __attribute__((aligned(16)));
  out16(0x510, 0);
  if (in8(0x511) != 'Q') skip("no fw_cfg");
  u8* code = static_cast<u8*>(new_page());
  static const u8 program[] = {0x6a, 1, 0x6a, 2, 0x58, 0x58, 0xc3};  // push 1; push 2; pop; pop; ret
  copy(code, program, sizeof program);
  u32 v;
  asm volatile("call *%1" : "=a"(v) : "r"(code), "c"(0x777) : "memory");
  expect(v, 1, "before");
  request.control = __builtin_bswap32(0x0a);  // select item 0, read
  request.length = __builtin_bswap32(4);
  request.address = __builtin_bswap64(reinterpret_cast<Word>(code));
  const u64 at = reinterpret_cast<Word>(&request);
  out32(0x514, __builtin_bswap32(static_cast<u32>(at >> 32)));
  out32(0x518, __builtin_bswap32(static_cast<u32>(at)));
  for (int i = 0; request.control && i < 1000000; ++i) pause();
  expect(request.control, 0, "DMA done");
  serialise();
  asm volatile("call *%1" : "=a"(v) : "r"(code), "c"(0x777) : "memory");
  expect(v, 0x777, "after");
}

// ---- another processor ----

TEST(smp_smc_other_processor_writes) {
  if (start_processors() < 2) skip("one processor");
  static u8* code;
  static volatile u32 asked, done;
  code = static_cast<u8*>(new_page());
  asked = 0;
  done = 0;
  put_return(code, 0);
  run_on(
      1,
      [](void*) {
        for (u32 i = 1; i <= 200; ++i) {
          while (asked != i) pause();
          put_return(code, i);
          done = i;
        }
      },
      nullptr);
  for (u32 i = 1; i <= 200; ++i) {
    call(code);
    asked = i;
    while (done != i) pause();
    serialise();
    expect(call(code), i, "value");
  }
  wait_for(1);
}

TEST(smp_smc_patch_running_loop) {
  // One processor spins in a loop whose jump the other one turns into NOPs
  // (a two-byte store within a line).
  if (start_processors() < 2) skip("one processor");
  static u8* code;
  static volatile bool left;
  code = static_cast<u8*>(new_page());
  static const u8 program[] = {0x90, 0x90, 0xf3, 0x90, 0xeb, 0xfa, 0xc3};  // nop; nop; pause; jmp -6; ret
  for (int round = 0; round < 20; ++round) {
    copy(code, program, sizeof program);
    left = false;
    barrier();
    run_on(
        1,
        [](void*) {
          call(code);
          left = true;
        },
        nullptr);
    delay_us(1000);
    *reinterpret_cast<volatile u16*>(code + 4) = 0x9090;
    for (unsigned i = 0; !left && i < 200; ++i) delay_us(10000);
    if (!expect_true(left, "the loop is left")) return;
    wait_for(1);
  }
}
