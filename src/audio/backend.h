// Sound between the guest's devices and the host: -audiodev.
//
// A device opens streams of 16-bit samples at its own rate and pushes frames (one sample a channel) into
// outputs and pulls them from inputs at the pace of its clock. A backend mixes its outputs, converted to the
// rate it was opened with, and hands the mix to a sink: a file, the host's sound system, or nothing. A host
// that is late costs sound, never the machine's time. Everything but Sink's and Source's own threads holds
// the machine lock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace rhea::audio {

inline constexpr unsigned kMaxChannels = 2;
inline constexpr unsigned kMinRate = 4000, kMaxRate = 192000;

struct Format {
  unsigned rate = 44100;
  unsigned channels = 2;
  bool operator==(const Format&) const = default;
};

// Takes the mix, in the backend's format. Never blocks: what does not fit is lost.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void play(std::span<const int16_t> samples) = 0;
};

// Gives what the host records, in the backend's format. Never blocks: what is not there is silence.
class Source {
 public:
  virtual ~Source() = default;
  virtual void record(std::span<int16_t> samples) = 0;
};

// Changes the rate by linear interpolation and the number of channels (mono to both, both to their mean).
class Converter {
 public:
  Converter(Format from, Format to) : from_(from), to_(to) {}
  void convert(std::span<const int16_t> in, std::vector<int16_t>& out);

 private:
  Format from_, to_;
  uint64_t position_ = 0;  // of the next output frame after last_, in 1/2^32 input frames
  int16_t last_[kMaxChannels] = {};
  bool started_ = false;
};

class Backend;

// Hears the mix of a backend beside its sink, as an own format.
class Capture {
 public:
  // What was just played; nothing: the last output has fallen silent. It must not destroy the capture.
  using Heard = std::function<void(std::span<const int16_t>)>;
  Capture(Backend& backend, Format format, Heard heard);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

 private:
  friend class Backend;
  Backend* backend_;  // null once that is gone
  Heard heard_;
  Converter converter_;
};

class Output {
 public:
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  void set_format(Format format);
  // 0..256 a channel; 256 is as it is.
  void set_volume(unsigned left, unsigned right);
  // While not active it is no part of the mix; what it still had is dropped.
  void set_active(bool active);
  void play(std::span<const int16_t> samples);

 private:
  friend class Backend;
  Output(Backend& backend, Format format);

  Backend& backend_;
  Format format_;
  Converter converter_;
  unsigned volume_[kMaxChannels] = {256, 256};
  bool active_ = false;
  std::deque<int16_t> waiting_;  // in the backend's format
};

class Input {
 public:
  Input(Backend& backend, Format format);
  void set_format(Format format);
  void record(std::span<int16_t> samples);

 private:
  Backend& backend_;
  Format format_;
  std::unique_ptr<Converter> converter_;
  std::deque<int16_t> waiting_;
};

class Backend {
 public:
  // Null sink or source: nothing is heard, silence is recorded.
  Backend(std::string id, Format format, std::unique_ptr<Sink> sink, std::unique_ptr<Source> source);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  const std::string& id() const { return id_; }
  const Format& format() const { return format_; }
  std::unique_ptr<Output> open_output(Format format);
  std::unique_ptr<Input> open_input(Format format) { return std::make_unique<Input>(*this, format); }

 private:
  friend class Output;
  friend class Input;
  friend class Capture;
  void mix();
  void fell_silent();

  std::string id_;
  Format format_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Source> source_;
  std::vector<Output*> outputs_;
  std::vector<Capture*> captures_;
};

}  // namespace rhea::audio
