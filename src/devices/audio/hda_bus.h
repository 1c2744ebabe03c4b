// The High Definition Audio link between a controller and its codecs. HDA Specification 1.0a, chapter 5.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "bus/bus.h"
#include "bus/device.h"

namespace rhea::devices {

// How samples of a stream are laid out: SDnFMT, and the codec's converter format (3.7.1).
struct HdaFormat {
  uint16_t bits = 0;
  unsigned rate() const {
    const unsigned base = (bits & 0x4000) != 0 ? 44100 : 48000;
    return base * ((bits >> 11 & 7) + 1) / ((bits >> 8 & 7) + 1);
  }
  unsigned channels() const { return (bits & 0xf) + 1u; }
  // Bytes of one sample's container: 8 bits, 16, or 32.
  unsigned sample_bytes() const {
    const unsigned code = bits >> 4 & 7;
    return code == 0 ? 1 : code == 1 ? 2 : 4;
  }
  unsigned frame_bytes() const { return channels() * sample_bytes(); }
};

class HdaCodec {
 public:
  virtual ~HdaCodec() = default;
  // A verb of 20 bits for a node; the response.
  virtual uint32_t command(unsigned node, uint32_t verb) = 0;
  // A stream of this tag carries these bytes to the codec, or wants them from it. Calls come at the pace of
  // the stream.
  virtual void play(unsigned tag, std::span<const uint8_t> bytes) = 0;
  virtual void record(unsigned tag, std::span<uint8_t> bytes) = 0;
  virtual void stream_running(unsigned tag, bool output, bool running) = 0;
};

class HdaBus final : public bus::Bus {
 public:
  static constexpr unsigned kAddresses = 15;
  std::string_view type() const override { return "HDA"; }
  // Null: nothing there.
  HdaCodec* at(unsigned address) const { return address < kAddresses ? codecs_[address] : nullptr; }
  void attach(HdaCodec& codec, unsigned address) { codecs_[address] = &codec; }
  void detach(const HdaCodec& codec) {
    for (HdaCodec*& at : codecs_) {
      if (at == &codec) at = nullptr;
    }
  }
  std::span<HdaCodec* const> all() const { return codecs_; }

 private:
  std::array<HdaCodec*, kAddresses> codecs_{};
};

}  // namespace rhea::devices
