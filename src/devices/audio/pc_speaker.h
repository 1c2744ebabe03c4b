// The speaker of a PC: a square wave whose period is that of counter 2 of the 8254, while its gate is open
// and the speaker is connected (bits 0 and 1 of port 0x61).
//
// IBM PC AT Technical Reference, speaker interface. Missing: sound made by moving the connection or the
// counter's mode by program. Virtual time. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "audio/backend.h"
#include "bus/device.h"

namespace rhea::devices {

class PcSpeaker final : public bus::Device {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    audio::Backend& backend;
  };
  explicit PcSpeaker(const Wiring& wiring);

  std::string_view name() const override { return "pcspk"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  // The period from now on, in ticks of the 8254; 0: silence.
  void tone(uint64_t period);

 private:
  void play_until_now();
  void tick();

  Wiring wiring_;
  std::unique_ptr<audio::Output> output_;
  std::unique_ptr<async::Timer> timer_;
  uint64_t period_ = 0;
  uint64_t phase_ = 0;  // within the period, in 1/kRate ticks
  int64_t played_until_ns_ = 0;
};

}  // namespace rhea::devices
