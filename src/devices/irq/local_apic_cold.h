// Entry points for Core::cold() from the local APIC's general-registers-only part.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "bus/apic_bus.h"

namespace rhea::devices {
class ApicTimer;
class ApicInterconnect;
}  // namespace rhea::devices

namespace rhea::devices::apic_cold {

enum class TimerOp : uint8_t { Mode, Divide, Start, Initial, Current, SetDeadline, GetDeadline, Reset };

struct TimerCall {
  ApicTimer* timer;
  TimerOp op;
  uint64_t value;  // in and out
};
struct EoiCall {
  ApicInterconnect* interconnect;
  std::recursive_mutex* lock;
  uint8_t vector;
};
struct ExtIntCall {
  bus::ExtIntSource* source;
  std::recursive_mutex* lock;
  std::atomic<bool>* level;
  int vector;
};

void timer(void* timer_call);
void broadcast_eoi(void* eoi_call);
void acknowledge_8259(void* extint_call);

}  // namespace rhea::devices::apic_cold
