// Sound: the back ends of -audiodev and the cards of -audio.
#include <map>
#include <memory>

#include "audio/backend.h"
#include "audio/host_sound.h"
#include "audio/wav.h"
#include "base/failf.h"
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

audio::Direction out_of(const AudiodevOption& o) {
  return {o.out_frequency, o.out_channels, o.out_buffer.value_or(0), o.out_dev + o.out_name};
}

audio::Direction in_of(const AudiodevOption& o) {
  return {o.in_frequency, o.in_channels, o.in_buffer.value_or(0), o.in_dev + o.in_name};
}

Result<audio::HostSound> open_sound(const AudiodevOption& o) {
  audio::HostSound sound;
  switch (o.driver) {
    case AudioDriver::None: return sound;
    case AudioDriver::Wav:
      sound.sink = TRY(audio::open_wav(o.path.empty() ? "qemu.wav" : o.path, out_of(o).format()));
      return sound;
    case AudioDriver::Alsa: return audio::open_alsa(out_of(o), in_of(o));
    case AudioDriver::Pa: return audio::open_pulse(o.server, out_of(o), in_of(o));
    case AudioDriver::Sdl: return audio::open_sdl(out_of(o), in_of(o));
  }
  return sound;
}

class AudioSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    for (const AudiodevOption& option : context.options.audio.backends) {
      audio::HostSound sound = TRY_IN(open_sound(option), "-audiodev " + option.id);
      backends_[option.id] = std::make_unique<audio::Backend>(option.id, out_of(option).format(),
                                                              std::move(sound.sink), std::move(sound.source));
    }
    for (const std::string& id : context.options.audio.hda_cards) {
      context.devices.push_back({"intel-hda", {}});
      context.devices.push_back({"hda-duplex", {{"audiodev", id}}});
    }
    context.backends.audiodev = [this](const std::string& id) { return find(id); };
    return {};
  }

 private:
  // No name means the only one there is.
  Result<audio::Backend*> find(const std::string& id) const {
    if (id.empty() && backends_.size() == 1) return backends_.begin()->second.get();
    const auto at = backends_.find(id);
    if (at == backends_.end()) return failf(ErrorKind::NotFound, "audiodev '{}' not found", id);
    return at->second.get();
  }

  std::map<std::string, std::unique_ptr<audio::Backend>> backends_;
};

}  // namespace

std::unique_ptr<Setup> make_audio_setup() {
  return std::make_unique<AudioSetup>();
}

}  // namespace rhea::system
