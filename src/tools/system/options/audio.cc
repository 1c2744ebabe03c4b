#include "tools/system/options/audio.h"

#include "audio/backend.h"
#include "base/failf.h"

namespace rhea::system {
namespace {

std::vector<config::Property> properties() {
  using A = AudiodevOption;
  constexpr unsigned kLongest = 10'000'000;
  return {config::choice("driver", &A::driver,
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
          config::text("in.name", &A::in_name, "pa: the source")};
}

const config::Group<AudiodevOption>& audiodev_group() {
  static const config::Group<AudiodevOption> group{"audiodev", "driver", properties()};
  return group;
}

const config::Group<AudiodevOption>& audio_group() {
  static const config::Group<AudiodevOption> group{
      "audio", "driver", [] {
        auto list = properties();
        list.push_back(config::text("model", &AudiodevOption::model, "the card: hda"));
        return list;
      }()};
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

Result<> add_backend(AudioOptions& options, AudiodevOption option) {
  TRY(check(option));
  for (const AudiodevOption& other : options.backends) {
    if (other.id == option.id) return failf(ErrorKind::Invalid, "Duplicate ID '{}' for audiodev", option.id);
  }
  options.backends.push_back(std::move(option));
  return {};
}

// Cards that QEMU has and this program has not are named as such.
Result<> check_model(const std::string& model) {
  if (model == "hda") return {};
  if (model.empty()) return fail(ErrorKind::Invalid, "Parameter 'model' is missing");
  for (const char* known : {"ac97", "adlib", "cs4231a", "es1370", "gus", "sb16"}) {
    if (model == known)
      return failf(ErrorKind::Unsupported, "sound card '{}' is not supported; hda is", model);
  }
  return failf(ErrorKind::Invalid, "Unknown sound card name `{}'", model);
}

Result<> add_card(AudioOptions& options, std::string_view text) {
  AudiodevOption option = TRY(audio_group().parse(text));
  if (option.model == "help" || option.model == "?")
    print_and_exit("Valid sound card names (comma separated):\nhda         Intel HD Audio\n");
  TRY(check_model(option.model));
  if (option.id.empty()) option.id = "audiodev0";
  options.hda_cards.push_back(option.id);
  return add_backend(options, std::move(option));
}

constexpr std::string_view kDrivers = "Available audio drivers:\nnone\nalsa\npa\nsdl\nwav\n";

// "help" alone lists the drivers, with one the keys.
bool asks_for_drivers(std::string_view text) {
  return text == "help" || text == "?" || text == "driver=help";
}

}  // namespace

void add_audio_options(Options& to, AudioOptions& options) {
  to.push_back(
      {"audiodev", "DRIVER,id=ID[,…]", "where sound goes", [&options](std::string_view text) -> Result<> {
         if (asks_for_drivers(text)) print_and_exit(std::string(kDrivers));
         if (config::asks_for_help(text)) print_and_exit(audiodev_group().help());
         if (text.empty()) return fail(ErrorKind::Invalid, "no driver");
         return add_backend(options, TRY(audiodev_group().parse(text)));
       }});
  to.push_back({"audio", "DRIVER,model=hda[,…]", "a sound card and where its sound goes, as with -audiodev",
                [&options](std::string_view text) -> Result<> {
                  if (asks_for_drivers(text)) print_and_exit(std::string(kDrivers));
                  if (config::asks_for_help(text) && text.find("model=") == text.npos)
                    print_and_exit(audio_group().help());
                  return add_card(options, text);
                }});
}

}  // namespace rhea::system
