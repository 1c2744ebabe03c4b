// A sink that writes what is played into a WAV file. Microsoft/IBM, "Multimedia Programming Interface and
// Data Specifications 1.0": RIFF, PCM. The header's sizes are right once the machine has ended, and after
// each second before that.
#pragma once

#include <memory>
#include <string>

#include "audio/backend.h"

namespace rhea::audio {

// Errors: what the host says of the file.
Result<std::unique_ptr<Sink>> open_wav(const std::string& path, Format format);

}  // namespace rhea::audio
