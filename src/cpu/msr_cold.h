// Diagnostics of msr.cc, for Core::cold().
#pragma once

#include <cstdint>

namespace rhea::cpu::msr_cold {

struct ReportArg {
  uint32_t index;
  bool write;
  bool unknown;  // else a value that the register does not take
  uint64_t value;
  unsigned vcpu;
};

void report(void* report_arg);  // `-d unimp` for unknown registers, `-d guest_errors` for bad values

}  // namespace rhea::cpu::msr_cold
