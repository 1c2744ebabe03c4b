// The pace of periodic interrupts and the TSC on a PC (devices/timer/tick_pacer.h): what the ticks of the
// 8254 or of the HPET in its place mean for the TSC of all vCPUs.
#pragma once

#include <array>
#include <functional>

#include "async/clock.h"
#include "devices/timer/tick_pacer.h"
#include "machine/machine_host.h"
#include "machine/pc/cpu_wires.h"

namespace rhea::machine {

class GuestPace final : public devices::TickPacer {
 public:
  struct Wiring {
    CpuWires& cpus;
    async::Clock& clock;  // virtual
    MachineHost& host;
    std::function<bool(Source)> connected;  // whether interrupt 0 is the source's
    std::function<bool()> pending;          // whether one waits at an interrupt controller
    bool holds_time = true;                 // the engine keeps to Core::tsc_limit
  };
  explicit GuestPace(Wiring wiring) : wiring_(std::move(wiring)) { deadlines_.fill(kNever); }

  void expect(Source source, int64_t deadline_ns, int64_t period_ns) override;
  void raised() override;
  bool taken() const override;

 private:
  struct Moment {
    int64_t ns;  // of the virtual clock
    uint64_t tsc;
  };

  void set_limit(int64_t deadline_ns);
  Moment this_moment() const;

  Wiring wiring_;
  std::array<int64_t, 2> deadlines_;
  int64_t limit_ns_ = kNever;
  uint64_t limit_tsc_ = ~uint64_t{0};
  int64_t raised_at_ns_ = 0;  // in the time of the first vCPU's thread
};

}  // namespace rhea::machine
