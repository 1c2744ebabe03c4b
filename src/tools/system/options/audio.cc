#include "tools/system/options/audio.h"

#include "audio/backend.h"
#include "base/failf.h"

namespace rhea::system {
namespace {

const config::Group<AudiodevOption>& audiodev_group() {
  using A = AudiodevOption;
  constexpr unsigned kLongest = 10'000'000;
  static const config::Group<A> group{
      "audiodev",
      "driver",
      {config::choice("driver", &A::driver,
                      {{"none", AudioDriver::None},
                       {"wav", AudioDriver::Wav},
                       {"alsa", AudioDriver::Alsa},
                       {"pa", AudioDriver::Pa},
                       {"sdl", AudioDriver::Sdl}},
                      "the host's side"),
       config::text("id", &A::id, "name for audiodev= of devices"),
       config::text("path", &A::path, "wav: the file (qemu.wav)"),
       config::text("server", &A::server, "pa: the server"),
       config::integer("out.frequency", &A::out_frequency, audio::kMinRate, audio::kMaxRate, "rate in Hz"),
       config::integer("out.channels", &A::out_channels, 1u, audio::kMaxChannels, "channels"),
       config::text("out.format", &A::out_format, "s16, the only one"),
       config::integer("out.buffer-length", &A::out_buffer, 1000u, kLongest, "buffer in microseconds"),
       config::text("out.dev", &A::out_dev, "alsa: the PCM"),
       config::text("out.name", &A::out_name, "pa: the sink"),
       config::integer("in.frequency", &A::in_frequency, audio::kMinRate, audio::kMaxRate, "rate in Hz"),
       config::integer("in.channels", &A::in_channels, 1u, audio::kMaxChannels, "channels"),
       config::text("in.format", &A::in_format, "s16, the only one"),
       config::integer("in.buffer-length", &A::in_buffer, 1000u, kLongest, "buffer in microseconds"),
       config::text("in.dev", &A::in_dev, "alsa: the PCM"),
       config::text("in.name", &A::in_name, "pa: the source")}};
  return group;
}

// A key of another driver would be without effect.
Result<> check(const AudiodevOption& o) {
  const auto only = [&o](AudioDriver driver, const char* key, bool given) -> Result<> {
    if (given && o.driver != driver) {
      return failf(ErrorKind::Invalid, "'{}' does not go with this driver", key);
    }
    return {};
  };
  if (o.id.empty()) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  if (o.out_format != "s16" || o.in_format != "s16") {
    return fail(ErrorKind::Unsupported, "s16 is the only format");
  }
  TRY(only(AudioDriver::Wav, "path", !o.path.empty()));
  TRY(only(AudioDriver::Pa, "server", !o.server.empty()));
  TRY(only(AudioDriver::Pa, "out.name", !o.out_name.empty()));
  TRY(only(AudioDriver::Pa, "in.name", !o.in_name.empty()));
  TRY(only(AudioDriver::Alsa, "out.dev", !o.out_dev.empty()));
  TRY(only(AudioDriver::Alsa, "in.dev", !o.in_dev.empty()));
  // A source converts from its own rate, which is the sink's: the mix and what is recorded have one format.
  if (o.in_frequency != o.out_frequency || o.in_channels != o.out_channels) {
    return fail(ErrorKind::Unsupported, "in.frequency and in.channels must be those of out");
  }
  return {};
}

}  // namespace

void add_audio_options(Options& to, AudioOptions& options) {
  to.push_back(grouped("audiodev", "DRIVER,id=ID[,…]", "where sound goes", audiodev_group(),
                       [&options](std::string_view text) -> Result<> {
                         if (text.empty()) return fail(ErrorKind::Invalid, "no driver");
                         AudiodevOption option = TRY(audiodev_group().parse(text));
                         TRY(check(option));
                         for (const AudiodevOption& other : options.backends) {
                           if (other.id == option.id) {
                             return failf(ErrorKind::Invalid, "Duplicate ID '{}' for audiodev", option.id);
                           }
                         }
                         options.backends.push_back(std::move(option));
                         return {};
                       }));
}

}  // namespace rhea::system
