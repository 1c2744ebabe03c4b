// String instructions: every size, both directions, overlap, page crossing,
// and the state of a REP that a page fault stops. SDM 2B REP, MOVS, STOS, CMPS, SCAS.
#include "paging.h"
#include "test.h"

namespace {
u8 source[8192 + 64] __attribute__((aligned(4096)));
u8 target[8192 + 64] __attribute__((aligned(4096)));
u8 reference[8192 + 64];
constexpr Word kAt = 0x52000000000;

void fill(u8* p, unsigned n, unsigned seed) {
  for (unsigned i = 0; i < n; ++i) p[i] = static_cast<u8>((i + seed) * 167 + (i >> 8));
}

#define REP_MOVS(name, insn)                                                           \
  void name(u8*& d, u8*& s, Word& n, bool down) {                                      \
    if (down)                                                                          \
      asm volatile("std; rep " insn "; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory"); \
    else                                                                               \
      asm volatile("rep " insn : "+D"(d), "+S"(s), "+c"(n) : : "memory");              \
  }
REP_MOVS(movs1, "movsb")
REP_MOVS(movs2, "movsw")
REP_MOVS(movs4, "movsl")
REP_MOVS(movs8, "movsq")
#undef REP_MOVS
using Movs = void (*)(u8*&, u8*&, Word&, bool);
const Movs kMovs[4] = {movs1, movs2, movs4, movs8};

void reference_movs(u8* d, const u8* s, unsigned n, unsigned size, bool down) {
  for (unsigned i = 0; i < n; ++i) {
    u8 element[8];
    for (unsigned k = 0; k < size; ++k) element[k] = s[k];
    for (unsigned k = 0; k < size; ++k) d[k] = element[k];
    d += down ? -static_cast<long>(size) : static_cast<long>(size);
    s += down ? -static_cast<long>(size) : static_cast<long>(size);
  }
}
void compare(const char* what) {
  for (unsigned i = 0; i < sizeof target; ++i)
    if (target[i] != reference[i]) return fail(what, target[i], reference[i]);
}
const unsigned kCounts[] = {0, 1, 2, 3, 7, 16, 100, 511};
const int kShifts[] = {0, 1, 3, 8, 17, 64};
}  // namespace

TEST(string_movs_all_sizes) {
  for (unsigned l = 0; l < 4; ++l) {
    for (const unsigned n : kCounts) {
      for (int down = 0; down < 2; ++down) {
        for (unsigned offset = 4090; offset < 4098; offset += 3) {
          const unsigned size = 1u << l;
          fill(source, sizeof source, n);
          fill(target, sizeof target, 99);
          fill(reference, sizeof reference, 99);
          u8 *d = target + offset, *s = source + offset - 5;
          Word count = n;
          reference_movs(reference + offset, s, n, size, down);
          kMovs[l](d, s, count, down);
          compare("bytes");
          expect(count, 0, "rcx");
          const long moved = static_cast<long>(n * size) * (down ? -1 : 1);
          expect(static_cast<Word>(d - (target + offset)), static_cast<Word>(moved), "rdi");
          expect(static_cast<Word>(s - (source + offset - 5)), static_cast<Word>(moved), "rsi");
        }
      }
    }
  }
}

TEST(string_movs_overlap) {
  for (unsigned l = 0; l < 4; ++l) {
    for (const int shift : kShifts) {
      for (int down = 0; down < 2; ++down) {
        fill(target, sizeof target, 5);
        fill(reference, sizeof reference, 5);
        u8 *d = target + 4096 + shift, *s = target + 4096;
        Word count = 200;
        reference_movs(reference + 4096 + shift, reference + 4096, 200, 1u << l, down);
        kMovs[l](d, s, count, down);
        compare("bytes");
      }
    }
  }
}

TEST(string_stos_all_sizes) {
  for (const unsigned n : kCounts) {
    fill(target, sizeof target, 1);
    fill(reference, sizeof reference, 1);
    u8* d = target + 4093;
    Word count = n;
    for (unsigned i = 0; i < n * 8; ++i)
      reference[4093 + i] = static_cast<u8>(0x1122334455667788 >> 8 * (i % 8));
    asm volatile("rep stosq" : "+D"(d), "+c"(count) : "a"(0x1122334455667788) : "memory");
    compare("stosq");
    d = target + 4093;
    count = n;
    for (unsigned i = 0; i < n; ++i) reference[4093 + i] = 0x5a;
    asm volatile("rep stosb" : "+D"(d), "+c"(count) : "a"(0x5a) : "memory");
    compare("stosb");
    expect(static_cast<Word>(d - target), 4093 + n, "rdi");
  }
}

TEST(string_lods_scas_cmps) {
  fill(source, sizeof source, 3);
  copy(target, source, sizeof source);
  target[5000] ^= 1;
  const u8 *s = source + 4000, *d = target + 4000;
  Word n = 3000, flags;
  asm volatile("repe cmpsb; pushfq; pop %3" : "+S"(s), "+D"(d), "+c"(n), "=r"(flags) : : "cc", "memory");
  expect(static_cast<Word>(s - source), 5001, "cmpsb stops behind the difference");
  expect(n, 3000 - 1001, "rcx");
  expect(flags & kZf, 0, "ZF");
  s = source + 4000, d = target + 4000, n = 0;
  asm volatile("cmp %%eax,%%eax; repe cmpsb; pushfq; pop %3"
               : "+S"(s), "+D"(d), "+c"(n), "=r"(flags)
               :
               : "cc", "memory");
  expect(flags & kZf, kZf, "rcx 0 leaves the flags");
  for (u8& b : target) b = 7;
  target[4500] = 9;
  d = target + 4000, n = 10000;
  asm volatile("repne scasb; pushfq; pop %2" : "+D"(d), "+c"(n), "=r"(flags) : "a"(9) : "cc", "memory");
  expect(static_cast<Word>(d - target), 4501, "scasb");
  expect(flags & kZf, kZf, "ZF");
  d = target + 4096, n = 64;
  asm volatile("std; repe scasl; cld; pushfq; pop %2"
               : "+D"(d), "+c"(n), "=r"(flags)
               : "a"(0x07070707)
               : "cc", "memory");
  expect(n, 0, "scasl down");
  u64 a;
  s = source + 4093, n = 5;
  asm volatile("rep lodsq" : "+S"(s), "+c"(n), "=a"(a) : : "memory");
  u64 want = 0;
  for (int i = 7; i >= 0; --i) want = want << 8 | source[4093 + 32 + i];
  expect(a, want, "rep lodsq loads the last");
}

TEST(string_address_size_32) {
  fill(source, 64, 1);
  u8 *s = source, *d = target;
  // 67h: ecx, esi, edi; high halves are cleared once something was done.
  Word n = 0xdead00000008, si = reinterpret_cast<Word>(s), di = reinterpret_cast<Word>(d);
  asm volatile("rep movsb (%%esi),(%%edi)" : "+D"(di), "+S"(si), "+c"(n) : : "memory");
  expect(n, 0, "rcx");
  expect(si, reinterpret_cast<Word>(s) + 8, "rsi");
  expect(target[7], source[7], "data");
  n = 0xdead00000000;
  asm volatile("rep movsb (%%esi),(%%edi)" : "+D"(di), "+S"(si), "+c"(n) : : "memory");
  expect(di, reinterpret_cast<Word>(d) + 8, "ecx 0 does nothing");
}

TEST(string_fault_in_the_middle) {
  u8* page = static_cast<u8*>(new_page());
  map_page(kAt, reinterpret_cast<Word>(page), kP | kW);
  map_page(kAt + 4096, 0, 0);
  fill(source, sizeof source, 8);
  Trap t = attempt([] { asm volatile("rep movsb" ::"D"(kAt + 4000), "S"(source), "c"(500) : "memory"); });
  expect_trap(t, kPF, 2, "movsb");
  expect(t.cr2, kAt + 4096, "CR2");
  expect(t.cx, 500 - 96, "rcx counts what was done");
  expect(t.di, kAt + 4096, "rdi");
  expect(t.si, reinterpret_cast<Word>(source) + 96, "rsi");
  expect(page[4095], source[95], "bytes before the fault are written");
  t = attempt([] { asm volatile("rep movsq" ::"D"(kAt + 4004), "S"(source), "c"(100) : "memory"); });
  expect_trap(t, kPF, 2, "movsq across");
  expect(t.cx, 100 - 11, "eleven whole elements");
  expect(t.di, kAt + 4004 + 88, "rdi at the element that crosses");
  expect(t.cr2, kAt + 4096, "CR2");
  t = attempt([] { asm volatile("std; rep stosb" ::"D"(kAt + 4096 + 10), "a"(1), "c"(100) : "memory"); });
  expect_trap(t, kPF, 2, "stosb down");
  expect(t.cx, 100, "at once");
  t = attempt([] {
    asm volatile("repe cmpsb" ::"D"(kAt + 4000), "S"(kAt + 4000), "c"(500) : "memory", "cc");
  });
  expect_trap(t, kPF, 0, "cmpsb");
  expect(t.cx, 404, "cmpsb rcx");
  t = attempt([] { asm volatile("rep lodsb" ::"S"(kAt + 4000), "c"(500) : "memory", "rax"); });
  expect_trap(t, kPF, 0, "lodsb");
  expect(t.cx, 404, "lodsb rcx");
}

TEST(string_repeats_up_to_a_page_end) {
  u8* page = static_cast<u8*>(new_page());
  map_page(kAt, reinterpret_cast<Word>(page), kP | kW);
  map_page(kAt + 4096, 0, 0);
  fill(source, sizeof source, 21);
  const unsigned counts[] = {512, 1, 0, 511};
  for (const unsigned n : counts) {
    Word d = kAt + 4096 - 8 * n, count = n, flags;
    fill(page, 4096, 7);
    asm volatile("stc; rep stosq; pushfq; pop %2"
                 : "+D"(d), "+c"(count), "=r"(flags)
                 : "a"(Word{n} << 40)
                 : "cc", "memory");
    expect(flags & kCf, kCf, "CF lives");
    expect(d, kAt + 4096, "rdi");
    expect(count, 0, "rcx");
    if (n != 0) expect(page[4096 - 8 + 5], n & 0xff, "the last element");
    if (n != 512)
      expect(page[4095 - 8 * n], static_cast<u8>((4095 - 8 * n + 7) * 167 + ((4095 - 8 * n) >> 8)),
             "not before");
    Word si = reinterpret_cast<Word>(source) + 4096 - n;
    d = kAt + 4096 - n, count = n;
    asm volatile("rep movsb" : "+D"(d), "+S"(si), "+c"(count) : : "memory");
    expect(si, reinterpret_cast<Word>(source) + 4096, "rsi");
    if (n != 0) expect(page[4095], source[4095], "the last byte");
  }
  // A count whose bytes are 8 in 64 bits.
  const Word much = (Word{1} << 61) + 1;
  Trap t = attempt([] { asm volatile("rep stosq" ::"D"(kAt), "a"(3), "c"(much) : "memory"); });
  expect_trap(t, kPF, 2, "as far as the page");
  expect(t.cx, much - 512, "rcx");
  expect(t.di, kAt + 4096, "rdi");
}

TEST(string_fault_and_resume) {
  static u8* pages[8];
  static unsigned faults;
  for (auto& p : pages) p = static_cast<u8*>(new_page());
  entry_for(kAt, 1);
  faults = 0;
  on_trap(kPF, [](Frame&) {
    const Word at = read_cr2() & ~Word{4095};
    if (++faults > 20) return false;
    map_page(at, reinterpret_cast<Word>(pages[(at - kAt) / 4096 % 8]), kP | kW);
    return true;
  });
  fill(source, sizeof source, 44);
  asm volatile("rep movsb" ::"D"(kAt + 100), "S"(source), "c"(8000) : "memory");
  expect(faults, 2, "one fault a page");
  for (unsigned i = 0; i < 8000; ++i)
    if (pages[(100 + i) / 4096][(100 + i) % 4096] != source[i]) return fail("byte", i, 0);
}

TEST(string_ins_outs) {
  u16 port = 0x80;
  static u8 out[16] = {1, 2, 3, 4};
  const u8* s = out;
  Word n = 16;
  asm volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(port) : "memory");
  expect(n, 0, "outsb rcx");
  expect(static_cast<Word>(s - out), 16, "outsb rsi");
  static u8 in[16];
  u8* d = in;
  n = 4;
  out8(0x70, 0x0d);  // CMOS status D: reads as valid RAM
  port = 0x71;
  asm volatile("rep insb" : "+D"(d), "+c"(n) : "d"(port) : "memory");
  expect(static_cast<Word>(d - in), 4, "insb rdi");
  expect(in[0], 0x80, "CMOS D");
  map_page(kAt, 0, 0);
  const Trap t = attempt([] { asm volatile("rep insb" ::"D"(kAt), "c"(4), "d"(0x71) : "memory"); });
  expect_trap(t, kPF, 2, "insb to an absent page");
  expect(t.cx, 4, "nothing done");
}
