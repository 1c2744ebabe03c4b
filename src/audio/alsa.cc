// ALSA's PCM interface, alsa-lib 1.2 (alsa/pcm.h).
#include "audio/host_sound.h"
#include "audio/library.h"
#include "audio/sound_thread.h"
#include "base/failf.h"

#ifdef RHEA_HAVE_ALSA
#include <alsa/asoundlib.h>
#endif

namespace rhea::audio {

#ifdef RHEA_HAVE_ALSA

namespace {

struct Alsa {
  decltype(::snd_pcm_open)* open;
  decltype(::snd_pcm_close)* close;
  decltype(::snd_pcm_set_params)* set_params;
  decltype(::snd_pcm_writei)* writei;
  decltype(::snd_pcm_readi)* readi;
  decltype(::snd_pcm_recover)* recover;
  decltype(::snd_strerror)* strerror;

  bool load() {
    const Library library("libasound.so.2");
    return library && library.load("snd_pcm_open", open) && library.load("snd_pcm_close", close) &&
           library.load("snd_pcm_set_params", set_params) && library.load("snd_pcm_writei", writei) &&
           library.load("snd_pcm_readi", readi) && library.load("snd_pcm_recover", recover) &&
           library.load("snd_strerror", strerror);
  }
};

Result<snd_pcm_t*> open_pcm(const Alsa& alsa, const Direction& d, snd_pcm_stream_t stream) {
  constexpr unsigned kDefaultUs = 100'000;
  const std::string name = d.device.empty() ? "default" : d.device;
  snd_pcm_t* pcm = nullptr;
  int error = alsa.open(&pcm, name.c_str(), stream, 0);
  if (error == 0) {
    error = alsa.set_params(pcm, SND_PCM_FORMAT_S16_LE, SND_PCM_ACCESS_RW_INTERLEAVED, d.channels, d.rate, 1,
                            d.buffer_us != 0 ? d.buffer_us : kDefaultUs);
    if (error < 0) alsa.close(pcm);
  }
  if (error < 0) return failf(ErrorKind::Io, "ALSA device '{}': {}", name, alsa.strerror(error));
  return pcm;
}

bool write_all(const Alsa& alsa, snd_pcm_t* pcm, unsigned channels, std::span<const int16_t> samples) {
  while (samples.size() >= channels) {
    snd_pcm_sframes_t frames = alsa.writei(pcm, samples.data(), samples.size() / channels);
    if (frames < 0) frames = alsa.recover(pcm, static_cast<int>(frames), 1);
    if (frames < 0) return false;
    samples = samples.subspan(static_cast<size_t>(frames) * channels);
  }
  return true;
}

bool read_all(const Alsa& alsa, snd_pcm_t* pcm, unsigned channels, std::span<int16_t> samples) {
  while (samples.size() >= channels) {
    snd_pcm_sframes_t frames = alsa.readi(pcm, samples.data(), samples.size() / channels);
    if (frames < 0) frames = alsa.recover(pcm, static_cast<int>(frames), 1);
    if (frames < 0) return false;
    samples = samples.subspan(static_cast<size_t>(frames) * channels);
  }
  return true;
}

}  // namespace

Result<HostSound> open_alsa(const Direction& out, const Direction& in) {
  Alsa alsa{};
  if (!alsa.load()) return fail(ErrorKind::Unsupported, "the host has no libasound");
  HostSound sound;
  snd_pcm_t* playing = TRY(open_pcm(alsa, out, SND_PCM_STREAM_PLAYBACK));
  sound.sink = std::make_unique<SinkThread>(
      ring_samples(out.rate, out.channels, out.buffer_us),
      [alsa, playing, channels = out.channels](std::span<const int16_t> samples) {
        return write_all(alsa, playing, channels, samples);
      },
      [alsa, playing] { alsa.close(playing); });
  if (auto recording = open_pcm(alsa, in, SND_PCM_STREAM_CAPTURE)) {
    sound.source = std::make_unique<SourceThread>(
        ring_samples(in.rate, in.channels, in.buffer_us),
        [alsa, pcm = *recording, channels = in.channels](std::span<int16_t> samples) {
          return read_all(alsa, pcm, channels, samples);
        },
        [alsa, pcm = *recording] { alsa.close(pcm); });
  }
  return sound;
}

#else

Result<HostSound> open_alsa(const Direction&, const Direction&) {
  return fail(ErrorKind::Unsupported, "this build has no ALSA");
}

#endif

}  // namespace rhea::audio
