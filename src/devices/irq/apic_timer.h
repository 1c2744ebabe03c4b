// The timer of a local APIC: one-shot, periodic and TSC-deadline. SDM vol. 3A 11.5.4.
//
// The count runs at 1 GHz before the divider. Differs: a period is at least 100 µs, so that a guest cannot
// keep the host busy; periods missed by the host come once. Threading: any thread; `expired` is called
// without locks of ours, on the caller's thread when the time is already past.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "async/clock.h"
#include "bus/device.h"

namespace rhea::devices {

class ApicTimer {
 public:
  enum class Mode : uint8_t { OneShot = 0, Periodic = 1, TscDeadline = 2, Reserved = 3 };
  struct Wiring {
    async::Clock& clock;
    std::function<uint64_t()> guest_tsc;
    uint64_t tsc_hz;
    std::function<void()> expired;
  };
  explicit ApicTimer(Wiring wiring);

  void reset();
  void set_mode(Mode mode);  // leaving or entering TSC-deadline mode disarms
  void set_divide(uint32_t tdcr);
  void set_initial_count(uint32_t count);  // starts; 0 stops; nothing in TSC-deadline mode
  uint32_t initial_count() const;
  uint32_t current_count() const;
  void set_deadline(uint64_t guest_tsc);  // 0 disarms; nothing outside TSC-deadline mode
  uint64_t deadline() const;
  void state(bus::StateVisitor& v);

 private:
  static constexpr int64_t kNever = INT64_MAX;

  void on_timer();
  // Caller holds mutex_.
  bool check_locked();
  void aim_locked(int64_t at_ns);
  int64_t period_ns() const;
  int64_t ns_until(uint64_t tsc) const;

  Wiring wiring_;
  mutable std::mutex mutex_;
  Mode mode_ = Mode::OneShot;
  uint32_t divide_ = 2;
  uint32_t initial_ = 0;
  uint64_t deadline_ = 0;      // guest TSC; 0: none
  int64_t due_ns_ = kNever;    // when the count reaches 0; for a deadline, as far as known
  int64_t aimed_ns_ = kNever;  // what the host timer is armed for; at most due_ns_, it may come too early
  std::unique_ptr<async::Timer> timer_;
};

}  // namespace rhea::devices
