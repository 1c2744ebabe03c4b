// The test loop of the guest test kernels, and their output.
#include "test.h"

extern const TestEntry tests_begin[], tests_end[];
extern "C" u32 multiboot_info;
void paging_setup();
void restore_defaults();  // per kernel: registers that a failed test may have left changed

namespace {

struct Report {
  unsigned failures;
  bool skipped;
  const char* what;
  u64 got, want;
  bool numbers;
};
Report report;
bool has_debugcon;
u8 out_lock;

const char* command_line() {
  const u32* info = reinterpret_cast<const u32*>(static_cast<Word>(multiboot_info));
  return info[0] & 4 ? reinterpret_cast<const char*>(static_cast<Word>(info[4])) : "";
}

void put(char c) {
  while (!(in8(0x3f8 + 5) & 0x20)) pause();
  out8(0x3f8, static_cast<u8>(c));
  if (has_debugcon) out8(0xe9, static_cast<u8>(c));
}

bool is_word_end(char c) {
  return c == 0 || c == ' ';
}

// Value of key (with its '=') in the command line, or nullptr.
const char* find_option(const char* key) {
  const char* s = command_line();
  while (*s) {
    const char *a = s, *k = key;
    while (*k && *a == *k) ++a, ++k;
    if (!*k) return a;
    while (*s && *s != ' ') ++s;
    while (*s == ' ') ++s;
  }
  return nullptr;
}

// Does name match a comma-separated list of names, each optionally ending in '*'?
bool in_list(const char* list, const char* name) {
  while (!is_word_end(*list)) {
    const char *l = list, *n = name;
    while (*n && *l == *n) ++l, ++n;
    if (*l == '*' || (!*n && (is_word_end(*l) || *l == ','))) return true;
    while (!is_word_end(*list) && *list != ',') ++list;
    if (*list == ',') ++list;
  }
  return false;
}

void print_result(const char* name) {
  if (report.skipped) {
    print("skip ");
    print(name);
    print(": ");
    print(report.what);
  } else if (!report.failures) {
    print("ok ");
    print(name);
  } else {
    print("not ok ");
    print(name);
    print(": ");
    print(report.what);
    if (report.numbers) {
      print(": expected ");
      print_hex(report.want);
      print(" got ");
      print_hex(report.got);
    }
    if (report.failures > 1) {
      print(" (and ");
      print_dec(report.failures - 1);
      print(" more)");
    }
  }
  print("\n");
}

void print_trap(const Trap& t) {
  print(" vector ");
  print_dec(t.vector);
  print(" error ");
  print_hex(t.error);
  print(" ip ");
  print_hex(t.ip);
  print(" cr2 ");
  print_hex(t.cr2);
}

void run_one(const TestEntry& test) {
  report = {};
  print("# ");
  print(test.name);
  print("\n");
  const Trap t = attempt([&] { test.run(); });
  restore_defaults();
  clear_handlers();
  if (t.vector != kNoTrap && !report.skipped) {
    if (!report.failures) {
      print("# unexpected trap:");
      print_trap(t);
      print("\n");
    }
    fail("unexpected exception, vector", t.vector, kNoTrap);
    report.numbers = true;
  }
  print_result(test.name);
}

}  // namespace

void print(const char* s) {
  while (__atomic_test_and_set(&out_lock, __ATOMIC_ACQUIRE)) pause();
  while (*s) put(*s++);
  __atomic_clear(&out_lock, __ATOMIC_RELEASE);
}

void print_hex(u64 v) {
  char text[19];
  char* p = text + 18;
  *p = 0;
  do {
    *--p = "0123456789abcdef"[v & 15];
    v >>= 4;
  } while (v);
  *--p = 'x';
  *--p = '0';
  print(p);
}

void print_dec(u64 v) {
  char text[24];
  char* p = text + 23;
  *p = 0;
  u32 n = static_cast<u32>(v);  // counts only; 64-bit division needs a library in the 32-bit kernel
  do {
    *--p = static_cast<char>('0' + n % 10);
    n /= 10;
  } while (n);
  print(p);
}

void fail(const char* what, u64 got, u64 want) {
  print("#   ");
  print(what);
  print(": expected ");
  print_hex(want);
  print(" got ");
  print_hex(got);
  print("\n");
  if (report.failures++) return;
  report.what = what;
  report.got = got;
  report.want = want;
  report.numbers = true;
}

void fail_text(const char* what) {
  if (report.failures++) return;
  report.what = what;
}

void skip(const char* why) {
  report.skipped = true;
  report.what = why;
  // Back to run_one: its attempt is the innermost one while no other runs.
  asm volatile("int $0x81");
  for (;;) asm volatile("hlt");
}

bool expect_trap(const Trap& t, Word vector, const char* what) {
  if (t.vector == vector) return true;
  if (!report.failures) {
    print("# got trap:");
    print_trap(t);
    print("\n");
  }
  fail(what, t.vector, vector);
  return false;
}

bool expect_trap(const Trap& t, Word vector, Word error, const char* what) {
  return expect_trap(t, vector, what) && expect(t.error, error, what);
}

bool expect_no_trap(const Trap& t, const char* what) {
  if (t.vector == kUserExit) return true;
  return expect_trap(t, kNoTrap, what);
}

bool option(const char* word) {
  const char* s = find_option(word);
  return s && is_word_end(*s);
}

void leave(u8 code) {
  out8(0xf4, code);
  out16(0x604, 0x2000);  // no isa-debug-exit: ACPI soft off as QEMU's PIIX4 PM has it
  for (;;) asm volatile("cli; hlt");
}

extern "C" void kernel_main() {
  has_debugcon = in8(0xe9) == 0xe9;
  // 16550: 8n1, no interrupts.
  out8(0x3f9, 0);
  out8(0x3fb, 3);
  out8(0x3fa, 7);
  out8(0x3fc, 3);
  paging_setup();
  trap_setup();
  restore_defaults();
  const char* run = find_option("run=");
  const char* without = find_option("skip=");
  const char* after = find_option("after=");
  print(k64Bit ? "# kernel64\n" : "# kernel32\n");
  for (const TestEntry* t = tests_begin; t != tests_end; ++t) {
    if (after) {
      if (in_list(after, t->name)) after = nullptr;
      continue;
    }
    // A test named x_... with a leading "only_" runs when asked for by name.
    const bool on_request = t->name[0] == 'o' && t->name[1] == 'n' && t->name[2] == 'l' && t->name[3] == 'y';
    if (run ? !in_list(run, t->name) : on_request) continue;
    if (without && in_list(without, t->name)) continue;
    if (option("list")) {
      print(t->name);
      print("\n");
      continue;
    }
    run_one(*t);
  }
  print("# done\n");
  leave(0);
}
