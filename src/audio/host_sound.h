// The host's sound systems: ALSA, PulseAudio and SDL. Their libraries are loaded when they are asked for, so
// that a server without them runs all the same; a build without their headers does not offer them.
#pragma once

#include <memory>
#include <string>

#include "audio/backend.h"

namespace rhea::audio {

// What -audiodev says of one direction.
struct Direction {
  unsigned rate = 44100, channels = 2;
  unsigned buffer_us = 0;  // 0: a good one
  std::string device;      // ALSA's "dev", PulseAudio's "name"; empty: the default one
  Format format() const { return {rate, channels}; }
};

struct HostSound {
  std::unique_ptr<Sink> sink;
  std::unique_ptr<Source> source;
};

// Errors: Unsupported (this build, or this host, has no such library), or what the library says of the
// output. A host that cannot record gives no source, and silence is recorded.
Result<HostSound> open_alsa(const Direction& out, const Direction& in);
Result<HostSound> open_pulse(const std::string& server, const Direction& out, const Direction& in);
Result<HostSound> open_sdl(const Direction& out, const Direction& in);

}  // namespace rhea::audio
