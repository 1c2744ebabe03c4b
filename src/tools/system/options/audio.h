// -audiodev: where sound goes; -audio: that and a sound card.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

enum class AudioDriver : uint8_t { None, Wav, Alsa, Pa, Sdl };

struct AudiodevOption {
  AudioDriver driver = AudioDriver::None;
  std::string id;
  std::string model;   // -audio only
  std::string path;    // wav
  std::string server;  // pa
  unsigned out_frequency = 44100, out_channels = 2, in_frequency = 44100, in_channels = 2;
  std::string out_format = "s16", in_format = "s16";
  std::optional<unsigned> out_buffer, in_buffer;  // microseconds
  std::string out_dev, in_dev;                    // alsa
  std::string out_name, in_name;                  // pa
};

struct AudioOptions {
  std::vector<AudiodevOption> backends;
  std::vector<std::string> hda_cards;  // -audio …,model=hda: the ids of their back ends
};

void add_audio_options(Options& to, AudioOptions& options);

}  // namespace rhea::system
