#include "devices/audio/hda_codec.h"

#include <algorithm>
#include <cmath>

#include "base/endian.h"

namespace rhea::devices {

namespace {

// Nodes.
constexpr unsigned kRoot = 0, kGroup = 1, kOutputConverter = 2, kOutputPin = 3, kInputConverter = 4,
                   kInputPin = 5;

// Verbs with a payload of 8 bits (7.3.3); those of 16 bits have 4 bits of their own.
enum Verb : unsigned {
  kGetParameter = 0xf00,
  kGetConnectionSelect = 0xf01,
  kGetConnections = 0xf02,
  kGetPower = 0xf05,
  kSetPower = 0x705,
  kGetStream = 0xf06,
  kSetStream = 0x706,
  kGetPinControl = 0xf07,
  kSetPinControl = 0x707,
  kGetPinSense = 0xf09,
  kGetConfig = 0xf1c,
  kSetConfig = 0x71c,  // to 0x71f, a byte each
  kGetSubsystem = 0xf20,
  kSetSubsystem = 0x720,  // to 0x723
  kReset = 0x7ff,
};
enum LongVerb : unsigned { kSetFormat = 0x2, kSetGain = 0x3, kGetFormat = 0xa, kGetGain = 0xb };

// Parameters (7.3.4).
enum Parameter : unsigned {
  kVendor = 0x00,
  kRevision = 0x02,
  kNodes = 0x04,
  kFunctionType = 0x05,
  kGroupCapabilities = 0x08,
  kWidgetCapabilities = 0x09,
  kRates = 0x0a,
  kFormats = 0x0b,
  kPinCapabilities = 0x0c,
  kInputAmplifier = 0x0d,
  kConnectionCount = 0x0e,
  kPowerStates = 0x0f,
  kOutputAmplifier = 0x12,
};

constexpr uint32_t kVendorOfQemu = 0x1af4;
constexpr uint32_t k16BitRates = 1u << 17 | 0x1fc;  // 16 bits; 16 to 96 kHz
constexpr uint32_t kPcm = 1;
// Widget capabilities (7.3.4.6): type in bits 23:20.
constexpr uint32_t kStereo = 1, kHasInputAmp = 2, kHasOutputAmp = 4, kOwnAmp = 8, kOwnFormat = 0x10,
                   kHasConnections = 0x100, kTypeInput = 1u << 20, kTypePin = 4u << 20;
constexpr uint32_t kPinOutput = 0x10, kPinInput = 0x20;
// 74 steps of 1 dB below 0 dB, which is the top; mute.
constexpr unsigned kSteps = 0x4a;
constexpr uint32_t kAmplifier = 1u << 31 | 3u << 16 | kSteps << 8 | kSteps;
constexpr uint8_t kMute = 0x80;
// Line out (green) and line in (blue), jacks at the rear, always plugged in.
constexpr uint32_t kOutputConfig = 0x01014110, kInputConfig = 0x01813120;
// A speaker and a microphone inside the case, fixed.
constexpr uint32_t kSpeakerConfig = 0x90170110, kMicrophoneConfig = 0x90a70120;
constexpr uint16_t kUsualFormat = 0x0011;  // 48 kHz, 16 bits, stereo

unsigned volume_of(uint8_t gain) {
  if ((gain & kMute) != 0) return 0;
  const double below = static_cast<double>(kSteps) - std::min<unsigned>(gain & 0x7f, kSteps);
  return static_cast<unsigned>(std::lround(256 * std::pow(10.0, -below / 20)));
}

uint32_t with_byte(uint32_t value, unsigned index, unsigned byte) {
  const unsigned shift = index * 8;
  return (value & ~(0xffu << shift)) | (byte & 0xff) << shift;
}

}  // namespace

StereoHdaCodec::StereoHdaCodec(const Wiring& wiring) : wiring_(wiring) {
  if (wiring_.backend != nullptr) {
    if (wiring_.output) output_ = wiring_.backend->open_output({48000, 2});
    if (wiring_.input) input_ = wiring_.backend->open_input({48000, 2});
  }
  reset(bus::ResetKind::Cold);
  wiring_.bus.attach(*this, wiring_.address);
}

StereoHdaCodec::~StereoHdaCodec() {
  wiring_.bus.detach(*this);
}

std::string_view StereoHdaCodec::name() const {
  return wiring_.micro ? "hda-micro" : wiring_.input ? "hda-duplex" : "hda-output";
}

void StereoHdaCodec::reset(bus::ResetKind) {
  paths_ = {};
  for (Path& path : paths_) {
    path.format.bits = kUsualFormat;
    path.gain[0] = path.gain[1] = kSteps;
  }
  paths_[0].config = wiring_.micro ? kSpeakerConfig : kOutputConfig;
  paths_[0].pin_control = 0x40;
  paths_[1].config = wiring_.micro ? kMicrophoneConfig : kInputConfig;
  paths_[1].pin_control = 0x20;
  group_power_ = 0;
  subsystem_ = kVendorOfQemu << 16 | 0x10;
  apply(Side::Output);
  apply(Side::Input);
}

void StereoHdaCodec::state(bus::StateVisitor& v) {
  for (Path& path : paths_) {
    v.enter("path");
    v.field("stream", path.stream);
    v.field("format", path.format.bits);
    v.field("left", path.gain[0]);
    v.field("right", path.gain[1]);
    v.field("pin_control", path.pin_control);
    v.field("pin_power", path.pin_power);
    v.field("converter_power", path.converter_power);
    v.field("config", path.config);
    v.field("running", path.running);
    v.leave();
  }
  v.field("group_power", group_power_);
  v.field("subsystem", subsystem_);
  if (!v.loading()) return;
  apply(Side::Output);
  apply(Side::Input);
}

bool StereoHdaCodec::has_converter(unsigned node) const {
  return (node == kOutputConverter && wiring_.output) || (node == kInputConverter && wiring_.input);
}

bool StereoHdaCodec::has_pin(unsigned node) const {
  return (node == kOutputPin && wiring_.output) || (node == kInputPin && wiring_.input);
}

// Takes over what a driver has set.
void StereoHdaCodec::apply(Side side) {
  const Path& path = paths_[side == Side::Output ? 0 : 1];
  const audio::Format format{path.format.rate(), std::min(path.format.channels(), 2u)};
  if (side == Side::Input) {
    if (input_) input_->set_format(format);
    return;
  }
  if (!output_) return;
  output_->set_format(format);
  output_->set_volume(volume_of(path.gain[0]), volume_of(path.gain[1]));
  output_->set_active(path.running);
}

uint32_t StereoHdaCodec::parameter(unsigned node, unsigned id) const {
  const bool converter = has_converter(node), pin = has_pin(node), input = node >= kInputConverter;
  switch (id) {
    case kVendor:
      return node == kRoot ? kVendorOfQemu << 16 | (wiring_.micro ? 0x31 : wiring_.input ? 0x21 : 0x11) : 0;
    case kRevision: return node == kRoot ? 0x00100101 : 0;
    case kNodes: {
      if (node == kRoot) return kGroup << 16 | 1;
      if (node != kGroup) return 0;
      const unsigned first = wiring_.output ? kOutputConverter : kInputConverter;
      return first << 16 | (wiring_.output && wiring_.input ? 4 : 2);
    }
    case kFunctionType: return node == kGroup ? 1 : 0;
    case kGroupCapabilities: return node == kGroup ? 0x0808 : 0;
    case kWidgetCapabilities:
      if (pin) return kTypePin | kStereo | (input ? 0 : kHasConnections);
      if (!converter) return 0;
      return kStereo | kOwnFormat | (input ? kTypeInput | kHasConnections : 0) |
             (wiring_.mixer ? kOwnAmp | (input ? kHasInputAmp : kHasOutputAmp) : 0);
    case kRates: return converter || node == kGroup ? k16BitRates : 0;
    case kFormats: return converter || node == kGroup ? kPcm : 0;
    case kPinCapabilities: return pin ? (input ? kPinInput : kPinOutput) : 0;
    case kInputAmplifier: return converter && input && wiring_.mixer ? kAmplifier : 0;
    case kOutputAmplifier: return converter && !input && wiring_.mixer ? kAmplifier : 0;
    case kConnectionCount: return (pin && !input) || (converter && input) ? 1 : 0;
    case kPowerStates: return node == kGroup ? 0xf : 0;
    default: return 0;
  }
}

uint32_t StereoHdaCodec::get(unsigned node, unsigned verb, unsigned payload) {
  const bool converter = has_converter(node), pin = has_pin(node);
  const Path& path = path_of(node);
  switch (verb) {
    case kGetParameter: return parameter(node, payload);
    case kGetConnectionSelect: return 0;
    case kGetConnections:
      if (payload != 0) return 0;
      return node == kOutputPin && pin              ? kOutputConverter
             : node == kInputConverter && converter ? kInputPin
                                                    : 0;
    case kGetPower: {
      const unsigned power = node == kGroup ? group_power_ : pin ? path.pin_power : path.converter_power;
      return power << 4 | power;  // it is there at once
    }
    case kGetStream: return converter ? path.stream : 0;
    case kGetPinControl: return pin ? path.pin_control : 0;
    case kGetPinSense: return pin ? 1u << 31 : 0;
    case kGetConfig: return pin ? path.config : 0;
    case kGetSubsystem: return node == kGroup ? subsystem_ : 0;
    default: return 0;
  }
}

void StereoHdaCodec::set(unsigned node, unsigned verb, unsigned payload) {
  const bool converter = has_converter(node), pin = has_pin(node);
  Path& path = path_of(node);
  if (verb == kReset && node == kGroup) return reset(bus::ResetKind::Warm);
  if (verb >= kSetConfig && verb < kSetConfig + 4 && pin) {
    path.config = with_byte(path.config, verb - kSetConfig, payload);
  } else if (verb >= kSetSubsystem && verb < kSetSubsystem + 4 && node == kGroup) {
    subsystem_ = with_byte(subsystem_, verb - kSetSubsystem, payload);
  } else if (verb == kSetPower) {
    uint8_t& power = node == kGroup ? group_power_ : pin ? path.pin_power : path.converter_power;
    if (node == kGroup || pin || converter) power = payload & 3;
  } else if (verb == kSetStream && converter) {
    if (path.stream >> 4 != payload >> 4) path.running = false;  // the controller tells of the new one
    path.stream = static_cast<uint8_t>(payload);
    apply(node == kInputConverter ? Side::Input : Side::Output);
  } else if (verb == kSetPinControl && pin) {
    path.pin_control = static_cast<uint8_t>(payload);
  }
}

uint32_t StereoHdaCodec::get_gain(const Path& path, unsigned payload) const {
  return wiring_.mixer ? path.gain[(payload & 0x2000) != 0 ? 0 : 1] : 0;
}

void StereoHdaCodec::set_gain(unsigned node, unsigned payload) {
  if (!wiring_.mixer || !has_converter(node)) return;
  const bool input = node == kInputConverter;
  if ((payload & (input ? 0x4000 : 0x8000)) == 0) return;
  Path& path = path_of(node);
  if ((payload & 0x2000) != 0) path.gain[0] = payload & 0xff;
  if ((payload & 0x1000) != 0) path.gain[1] = payload & 0xff;
  apply(input ? Side::Input : Side::Output);
}

uint32_t StereoHdaCodec::command(unsigned node, uint32_t verb) {
  const unsigned payload = verb & 0xffff;
  switch (verb >> 16) {
    case kSetFormat:
      if (has_converter(node)) {
        path_of(node).format.bits = payload & 0x7f7f;
        apply(node == kInputConverter ? Side::Input : Side::Output);
      }
      return 0;
    case kGetFormat: return has_converter(node) ? path_of(node).format.bits : 0;
    case kSetGain: set_gain(node, payload); return 0;
    case kGetGain: return has_converter(node) ? get_gain(path_of(node), payload) : 0;
    default: break;
  }
  const unsigned id = verb >> 8;
  if ((id & 0x800) != 0) return get(node, id, verb & 0xff);
  set(node, id, verb & 0xff);
  return 0;
}

void StereoHdaCodec::stream_running(unsigned tag, bool output, bool running) {
  Path& path = paths_[output ? 0 : 1];
  if (tag == 0 || path.stream >> 4 != tag) return;
  path.running = running;
  apply(output ? Side::Output : Side::Input);
}

// Frames may have more channels than two: the others are nobody's.
void StereoHdaCodec::play(unsigned tag, std::span<const uint8_t> bytes) {
  Path& path = paths_[0];
  if (!output_ || tag == 0 || path.stream >> 4 != tag || path.format.sample_bytes() != 2) return;
  if (!path.running) {  // the converter was given a stream that runs already
    path.running = true;
    apply(Side::Output);
  }
  const unsigned frame = path.format.frame_bytes(), used = std::min(path.format.channels(), 2u);
  samples_.clear();
  for (size_t at = 0; at + frame <= bytes.size(); at += frame) {
    for (unsigned c = 0; c < used; ++c) {
      samples_.push_back(static_cast<int16_t>(load_le<uint16_t>(bytes.data() + at + size_t{2} * c)));
    }
  }
  output_->play(samples_);
}

void StereoHdaCodec::record(unsigned tag, std::span<uint8_t> bytes) {
  const Path& path = paths_[1];
  if (!input_ || tag == 0 || path.stream >> 4 != tag || path.format.sample_bytes() != 2) return;
  const unsigned frame = path.format.frame_bytes(), used = std::min(path.format.channels(), 2u);
  const size_t frames = bytes.size() / frame;
  samples_.resize(frames * used);
  input_->record(samples_);
  for (size_t i = 0; i < frames; ++i) {
    for (unsigned c = 0; c < used; ++c) {
      const unsigned volume = volume_of(path.gain[c]);
      const int sample = samples_[i * used + c] * static_cast<int>(volume) / 256;
      store_le<uint16_t>(bytes.data() + i * frame + size_t{2} * c, static_cast<uint16_t>(sample));
    }
  }
}

}  // namespace rhea::devices
