// Naming, checking and reporting for the guest test kernels. A test is a
// function; it may report any number of differences, of which the first is
// printed. Output is one line a test on COM1 (and port 0xe9 if it answers).
#pragma once
#include "arch.h"
#include "trap.h"

struct TestEntry {
  const char* name;
  void (*run)();
};

// TEST(name) { body }: registered through a linker section, run in link order.
#define TEST(test_name)                                                                                \
  static void test_##test_name();                                                                      \
  [[gnu::used, gnu::section(".tests")]] static const TestEntry entry_##test_name = {#test_name,        \
                                                                                    test_##test_name}; \
  static void test_##test_name()

void print(const char* s);
void print_hex(u64 v);
void print_dec(u64 v);

// Records a difference (reported once a test, with the number of further ones).
void fail(const char* what, u64 got, u64 want);
void fail_text(const char* what);
// Ends the running test as skipped.
[[noreturn]] void skip(const char* why);

template <class A, class B>
inline bool expect(A got, B want, const char* what) {
  if (static_cast<u64>(got) == static_cast<u64>(want)) return true;
  fail(what, static_cast<u64>(got), static_cast<u64>(want));
  return false;
}
inline bool expect_true(bool ok, const char* what) {
  if (!ok) fail(what, 0, 1);
  return ok;
}
bool expect_trap(const Trap& t, Word vector, Word error, const char* what);
bool expect_trap(const Trap& t, Word vector, const char* what);  // no error code, or any
bool expect_no_trap(const Trap& t, const char* what);

// True if the command line holds this word.
bool option(const char* word);

[[noreturn]] void leave(u8 code);  // isa-debug-exit
