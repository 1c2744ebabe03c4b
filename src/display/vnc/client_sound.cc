// Sound for a viewer. rfbproto: QEMU Audio client and server messages.
//
// A viewer that reads too slowly loses sound, never the machine its time.

#include <utility>

#include "display/vnc/client.h"
#include "display/vnc/server.h"

namespace rhea::display::vnc {

namespace {

constexpr size_t kMaxWaiting = 1 << 20;
constexpr unsigned kMaxRate = 48000, kMinRate = 4000;  // QEMU 7.2 ends the connection above it

// One sample in the viewer's format: the upper bits are the sample, the byte order is little endian.
void write_sample(int16_t sample, unsigned code, std::vector<uint8_t>& out) {
  const bool is_signed = code % 2 != 0;
  const auto bits = static_cast<uint16_t>(static_cast<uint16_t>(sample) ^ (is_signed ? 0 : 0x8000));
  if (code >= 4) out.insert(out.end(), 2, uint8_t{0});
  if (code >= 2) out.push_back(static_cast<uint8_t>(bits & 0xff));
  out.push_back(static_cast<uint8_t>(bits >> 8));
}

}  // namespace

size_t Client::take_sound_message(std::span<const uint8_t> in) {
  constexpr size_t kSize = 4, kFormatSize = 10;
  if (in.size() < kSize) return 0;
  switch (load_be<uint16_t>(in.data() + 2)) {
    case kAudioEnable: enable_sound(true); return kSize;
    case kAudioDisable: enable_sound(false); return kSize;
    case kAudioSetFormat:
      if (in.size() < kFormatSize) return 0;
      if (!set_sound_format(in)) end();
      return kFormatSize;
    default: end(); return in.size();
  }
}

bool Client::set_sound_format(std::span<const uint8_t> in) {
  constexpr unsigned kLastCode = 5;
  const SoundFormat format{load_be<uint32_t>(in.data() + 6), in[5], in[4]};
  if (format.code > kLastCode || (format.channels != 1 && format.channels != 2)) return false;
  if (format.rate < kMinRate || format.rate > kMaxRate) return false;
  sound_format_ = format;
  if (sound_) {
    enable_sound(false);
    enable_sound(true);
  }
  return true;
}

void Client::enable_sound(bool enable) {
  if (enable == (sound_ != nullptr) || !server_.sound()) return;
  if (enable) {
    sound_ =
        server_.sound()(sound_format_, [this](std::span<const int16_t> samples) { sound_heard(samples); });
    return;
  }
  sound_.reset();
  if (std::exchange(sounding_, false)) send_sound(kAudioEnd);
}

// A client that is over keeps its tap until it is reaped: this may be the call in which it ended.
void Client::sound_heard(std::span<const int16_t> samples) {
  if (phase_ != Phase::Ready) return;
  if (samples.empty()) {
    if (std::exchange(sounding_, false)) send_sound(kAudioEnd);
    return;
  }
  if (connection_->queued() > kMaxWaiting) return;
  if (!std::exchange(sounding_, true)) send_sound(kAudioBegin);
  std::vector<uint8_t> data;
  for (const int16_t sample : samples) write_sample(sample, sound_format_.code, data);
  send_sound(kAudioData, data);
}

void Client::send_sound(uint16_t operation, std::span<const uint8_t> data) {
  Output out;
  out.u8(kQemuServer);
  out.u8(kQemuAudio);
  out.u16(operation);
  if (operation == kAudioData) {
    out.u32(data.size());
    out.bytes(data);
  }
  // Not an answer: a viewer that is slow to hear may still speak.
  connection_->send(out.view(), Connection::Kind::Picture);
}

}  // namespace rhea::display::vnc
