// An HDA codec with a line output, and as hda-duplex a line input: converter and pin each, with volume and
// mute.
//
// HDA Specification 1.0a, chapter 7: verbs and parameters. Nodes: 1 the function group, 2 and 3 the output's
// converter and pin, 4 and 5 the input's. 16-bit samples. Missing: unsolicited responses (jacks are always
// plugged in), power states that do anything. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "audio/backend.h"
#include "bus/device.h"
#include "devices/audio/hda_bus.h"

namespace rhea::devices {

class StereoHdaCodec final : public bus::Device, public HdaCodec {
 public:
  struct Wiring {
    HdaBus& bus;
    unsigned address;
    audio::Backend* backend = nullptr;  // null: nobody listens
    bool output = true, input = false;
    bool micro = false;  // a speaker and a microphone, built in, in place of jacks
    bool mixer = true;   // volume and mute
  };
  explicit StereoHdaCodec(const Wiring& wiring);
  ~StereoHdaCodec() override;

  std::string_view name() const override;
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint32_t command(unsigned node, uint32_t verb) override;
  void play(unsigned tag, std::span<const uint8_t> bytes) override;
  void record(unsigned tag, std::span<uint8_t> bytes) override;
  void stream_running(unsigned tag, bool output, bool running) override;

 private:
  enum class Side : uint8_t { Output, Input };
  // One converter and its pin.
  struct Path {
    uint8_t stream = 0;  // tag in bits 7:4, first channel in 3:0
    HdaFormat format;
    uint8_t gain[2] = {};  // left, right; bit 7 mute
    uint8_t pin_control = 0, pin_power = 0, converter_power = 0;
    uint32_t config = 0;
    bool running = false;
  };
  bool has_converter(unsigned node) const;
  bool has_pin(unsigned node) const;
  Path& path_of(unsigned node) { return paths_[node >= 4 ? 1 : 0]; }
  uint32_t parameter(unsigned node, unsigned id) const;
  uint32_t get(unsigned node, unsigned verb, unsigned payload);
  void set(unsigned node, unsigned verb, unsigned payload);
  uint32_t get_gain(const Path& path, unsigned payload) const;
  void set_gain(unsigned node, unsigned payload);
  void apply(Side side);

  Wiring wiring_;
  std::array<Path, 2> paths_;
  uint8_t group_power_ = 0;
  uint32_t subsystem_ = 0;
  std::unique_ptr<audio::Output> output_;
  std::unique_ptr<audio::Input> input_;
  std::vector<int16_t> samples_;
};

}  // namespace rhea::devices
