#include "cpu/msr_cold.h"

#include "base/log.h"

namespace rhea::cpu::msr_cold {

void report(void* arg) {
  const auto& a = *static_cast<const ReportArg*>(arg);
  if (!a.unknown) {
    guest_error("CPU {}: {} MSR {:#x} refused, value {:#x}", a.vcpu, a.write ? "write to" : "read of",
                a.index, a.value);
  } else if (a.write) {
    log_to(LogItem::Unimp, "CPU {}: write of {:#x} to unknown MSR {:#x}", a.vcpu, a.value, a.index);
  } else {
    log_to(LogItem::Unimp, "CPU {}: read of unknown MSR {:#x}", a.vcpu, a.index);
  }
}

}  // namespace rhea::cpu::msr_cold
