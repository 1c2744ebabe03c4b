// The guest's sound for viewers that want it, whoever makes it. Machine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace rhea::display::vnc {

// How a viewer wants its samples. `code` is rfbproto's: U8, S8, U16, S16, U32, S32.
struct SoundFormat {
  unsigned rate = 44100, channels = 2, code = 3;
};

// While it lives, sound arrives.
class SoundTap {
 public:
  virtual ~SoundTap() = default;
};

// Opens a tap that calls back with samples of the format's rate and channels; with none at the end of a
// sound. The callback must not destroy the tap.
using SoundSource =
    std::function<std::unique_ptr<SoundTap>(SoundFormat, std::function<void(std::span<const int16_t>)>)>;

}  // namespace rhea::display::vnc
