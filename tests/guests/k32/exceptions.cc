#include "test.h"
TEST(divide_by_zero) {
  const Trap t = attempt([] { asm volatile("xor %%edx,%%edx; xor %%ecx,%%ecx; mov $1,%%eax; div %%ecx" ::: "eax", "ecx", "edx"); });
  expect_trap(t, kDE, 0, "div by zero");
}
TEST(user_hello) {
  const Trap t = user([] { asm volatile("nop"); });
  expect_trap(t, kUserExit, "return from ring 3");
  expect(t.cs, kSelUserCode, "cs");
}
TEST(user_hlt) {
  const Trap t = user([] { asm volatile("hlt"); });
  expect_trap(t, kGP, 0, "hlt in ring 3");
}
