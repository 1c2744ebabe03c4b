// SDL 2's audio (SDL_audio.h). SDL calls from a thread of its own and takes what the ring has.
#include "audio/host_sound.h"
#include "audio/library.h"
#include "audio/ring.h"
#include "audio/sound_thread.h"
#include "base/failf.h"

#ifdef RHEA_HAVE_SDL
#include <SDL.h>
#endif

namespace rhea::audio {

#ifdef RHEA_HAVE_SDL

namespace {

struct Sdl {
  decltype(::SDL_InitSubSystem)* init;
  decltype(::SDL_OpenAudioDevice)* open;
  decltype(::SDL_CloseAudioDevice)* close;
  decltype(::SDL_PauseAudioDevice)* pause;
  decltype(::SDL_GetError)* error;

  bool load() {
    const Library library("libSDL2-2.0.so.0");
    return library && library.load("SDL_InitSubSystem", init) && library.load("SDL_OpenAudioDevice", open) &&
           library.load("SDL_CloseAudioDevice", close) && library.load("SDL_PauseAudioDevice", pause) &&
           library.load("SDL_GetError", error);
  }
};

class SdlDevice : public Sink, public Source {
 public:
  SdlDevice(const Sdl& sdl, const Direction& d)
      : sdl_(sdl), ring_(ring_samples(d.rate, d.channels, d.buffer_us)) {}
  ~SdlDevice() override {
    if (device_ != 0) sdl_.close(device_);
  }
  Result<> open(const Direction& d, bool capture) {
    SDL_AudioSpec wanted{};
    wanted.freq = static_cast<int>(d.rate);
    wanted.format = AUDIO_S16LSB;
    wanted.channels = static_cast<uint8_t>(d.channels);
    wanted.samples = kChunk;
    wanted.callback = capture ? take : give;
    wanted.userdata = this;
    device_ = sdl_.open(nullptr, capture ? 1 : 0, &wanted, nullptr, 0);
    if (device_ == 0) return failf(ErrorKind::Io, "SDL audio: {}", sdl_.error());
    sdl_.pause(device_, 0);
    return {};
  }
  void play(std::span<const int16_t> samples) override { ring_.put(samples); }
  void record(std::span<int16_t> samples) override {
    const size_t count = ring_.take(samples);
    for (int16_t& sample : samples.subspan(count)) sample = 0;
  }

 private:
  // SAFETY: SDL's buffers of this format are of int16_t, and aligned.
  static std::span<int16_t> samples_of(Uint8* stream, int bytes) {
    return {reinterpret_cast<int16_t*>(stream), static_cast<size_t>(bytes) / 2};
  }
  static void SDLCALL give(void* self, Uint8* stream, int bytes) {
    static_cast<SdlDevice*>(self)->record(samples_of(stream, bytes));
  }
  static void SDLCALL take(void* self, Uint8* stream, int bytes) {
    static_cast<SdlDevice*>(self)->play(samples_of(stream, bytes));
  }

  Sdl sdl_;
  Ring ring_;
  SDL_AudioDeviceID device_ = 0;
};

}  // namespace

Result<HostSound> open_sdl(const Direction& out, const Direction& in) {
  Sdl sdl{};
  if (!sdl.load()) return fail(ErrorKind::Unsupported, "the host has no libSDL2");
  if (sdl.init(SDL_INIT_AUDIO) != 0) return failf(ErrorKind::Io, "SDL audio: {}", sdl.error());
  HostSound sound;
  auto playing = std::make_unique<SdlDevice>(sdl, out);
  TRY(playing->open(out, false));
  sound.sink = std::move(playing);
  auto recording = std::make_unique<SdlDevice>(sdl, in);
  if (recording->open(in, true)) sound.source = std::move(recording);
  return sound;
}

#else

Result<HostSound> open_sdl(const Direction&, const Direction&) {
  return fail(ErrorKind::Unsupported, "this build has no SDL");
}

#endif

}  // namespace rhea::audio
