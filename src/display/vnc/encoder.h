// Rectangles of pixels in the encoding that a client asked for. RFC 6143 7.7: Raw, Hextile, ZRLE; rfbproto:
// Zlib, Tight without its lossy parts.
//
// One encoder a client: the zlib streams go on from rectangle to rectangle. It is used by one thread at a
// time, without the machine lock.
#pragma once

#include <zlib.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "display/surface.h"
#include "display/vnc/pixel_format.h"
#include "display/vnc/rfb.h"

namespace rhea::display::vnc {

// A rectangle's pixels, which need not be contiguous. The top byte of each is 0.
struct Pixels {
  const uint32_t* first = nullptr;
  unsigned stride = 0, width = 0, height = 0;
  std::span<const uint32_t> row(unsigned y) const { return {first + size_t{y} * stride, width}; }
  Pixels part(unsigned x, unsigned y, unsigned w, unsigned h) const {
    return {first + size_t{y} * stride + x, stride, w, h};
  }
};

// A few colours in the order in which they were met.
class Palette {
 public:
  // Collects the colours of `pixels` and gives up beyond `most` of them (256 at the most).
  Palette(const Pixels& pixels, unsigned most);
  bool complete() const { return complete_; }
  unsigned size() const { return static_cast<unsigned>(colours_.size()); }
  std::span<const uint32_t> colours() const { return colours_; }
  unsigned index(uint32_t colour) const;

 private:
  static constexpr unsigned kSlots = 1024;
  static unsigned slot(uint32_t colour) { return (colour * 2654435761u) >> 22; }
  unsigned find(uint32_t colour) const;

  std::vector<uint32_t> colours_;
  std::array<int16_t, kSlots> slots_;  // index of a colour, -1 free; open addressing
  bool complete_ = true;
};

// A zlib stream that each call continues.
class Deflater {
 public:
  ~Deflater();
  // Appends the compressed bytes, flushed so that the other end can decode all of them.
  void compress(std::span<const uint8_t> bytes, int level, Output& out);

 private:
  z_stream stream_{};
  bool started_ = false;
  int level_ = 0;
};

class Encoder {
 public:
  struct Settings {
    PixelFormat format;
    int32_t encoding = kRaw;
    int level = 6;  // of zlib, 0..9
  };
  // Appends rectangles with their headers; returns how many.
  unsigned encode(const Settings& settings, const Rect& where, const Pixels& pixels, Output& out);

 private:
  void raw(const PixelFormat& format, const Pixels& pixels, Output& out);
  void hextile(const PixelFormat& format, const Pixels& pixels, Output& out);
  void zlib(const Settings& settings, const Pixels& pixels, Output& out);
  unsigned tight(const Settings& settings, const Rect& where, const Pixels& pixels, Output& out);
  void tight_rect(const Settings& settings, const Pixels& pixels, Output& out);
  void tight_data(unsigned stream, int level, Output& out);
  void zrle(const Settings& settings, const Pixels& pixels, Output& out);

  Deflater zlib_, zrle_;
  std::array<Deflater, 3> tight_;  // full colour, two colours, palette
  Output scratch_;
};

}  // namespace rhea::display::vnc
