// PulseAudio's simple interface, libpulse 16 (pulse/simple.h).
#include "audio/host_sound.h"
#include "audio/library.h"
#include "audio/sound_thread.h"
#include "base/failf.h"

#ifdef RHEA_HAVE_PULSE
#include <pulse/error.h>
#include <pulse/simple.h>
#endif

namespace rhea::audio {

#ifdef RHEA_HAVE_PULSE

namespace {

struct Pulse {
  decltype(::pa_simple_new)* open;
  decltype(::pa_simple_free)* free;
  decltype(::pa_simple_write)* write;
  decltype(::pa_simple_read)* read;
  decltype(::pa_strerror)* strerror;

  bool load() {
    const Library simple("libpulse-simple.so.0"), library("libpulse.so.0");
    return simple && library && simple.load("pa_simple_new", open) && simple.load("pa_simple_free", free) &&
           simple.load("pa_simple_write", write) && simple.load("pa_simple_read", read) &&
           library.load("pa_strerror", strerror);
  }
};

Result<pa_simple*> open_stream(const Pulse& pulse, const std::string& server, const Direction& d,
                               pa_stream_direction_t direction) {
  const pa_sample_spec spec{PA_SAMPLE_S16LE, d.rate, static_cast<uint8_t>(d.channels)};
  const auto or_default = [](const std::string& text) { return text.empty() ? nullptr : text.c_str(); };
  int error = 0;
  pa_simple* stream =
      pulse.open(or_default(server), "QEMU", direction, or_default(d.device),
                 direction == PA_STREAM_PLAYBACK ? "playback" : "record", &spec, nullptr, nullptr, &error);
  if (stream == nullptr) return failf(ErrorKind::Io, "PulseAudio: {}", pulse.strerror(error));
  return stream;
}

}  // namespace

Result<HostSound> open_pulse(const std::string& server, const Direction& out, const Direction& in) {
  Pulse pulse{};
  if (!pulse.load()) return fail(ErrorKind::Unsupported, "the host has no libpulse-simple");
  HostSound sound;
  pa_simple* playing = TRY(open_stream(pulse, server, out, PA_STREAM_PLAYBACK));
  sound.sink = std::make_unique<SinkThread>(
      ring_samples(out.rate, out.channels, out.buffer_us),
      [pulse, playing](std::span<const int16_t> samples) {
        return pulse.write(playing, samples.data(), samples.size_bytes(), nullptr) >= 0;
      },
      [pulse, playing] { pulse.free(playing); });
  if (auto recording = open_stream(pulse, server, in, PA_STREAM_RECORD)) {
    sound.source = std::make_unique<SourceThread>(
        ring_samples(in.rate, in.channels, in.buffer_us),
        [pulse, stream = *recording](std::span<int16_t> samples) {
          return pulse.read(stream, samples.data(), samples.size_bytes(), nullptr) >= 0;
        },
        [pulse, stream = *recording] { pulse.free(stream); });
  }
  return sound;
}

#else

Result<HostSound> open_pulse(const std::string&, const Direction&, const Direction&) {
  return fail(ErrorKind::Unsupported, "this build has no PulseAudio");
}

#endif

}  // namespace rhea::audio
