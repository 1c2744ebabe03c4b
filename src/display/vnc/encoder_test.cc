#include "display/vnc/encoder.h"

#include <gtest/gtest.h>

#include <random>

#include "display/vnc/dirty_tiles.h"

namespace rhea::display::vnc {
namespace {

// A viewer's side, written from the specifications, for formats of 32 bits little endian with 8 bits a
// colour. Each reader checks that it stays inside what was sent.
struct Reader {
  std::vector<uint8_t> bytes;
  size_t at = 0;
  unsigned u8() { return bytes.at(at++); }
  unsigned u16() { return u8() << 8 | u8(); }
  unsigned u32() { return u16() << 16 | u16(); }
  uint32_t pixel(unsigned size) {
    uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= uint32_t{u8()} << 8 * i;
    return value;
  }
  uint32_t rgb() { return u8() << 16 | u8() << 8 | u8(); }
};

class Inflater {
 public:
  Inflater() { inflateInit(&stream_); }
  ~Inflater() { inflateEnd(&stream_); }
  std::vector<uint8_t> all(Reader& from, size_t length) {
    std::vector<uint8_t> out(16 << 20);
    stream_.next_in = from.bytes.data() + from.at;
    stream_.avail_in = static_cast<uInt>(length);
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    EXPECT_LE(from.at + length, from.bytes.size());
    inflate(&stream_, Z_SYNC_FLUSH);
    EXPECT_EQ(stream_.avail_in, 0u);
    out.resize(out.size() - stream_.avail_out);
    from.at += length;
    return out;
  }

 private:
  z_stream stream_{};
};

struct Viewer {
  unsigned width, height;
  std::vector<uint32_t> picture = std::vector<uint32_t>(size_t{width} * height, 0x123456);
  Inflater zlib, zrle, tight[3];

  void set(unsigned x, unsigned y, uint32_t colour) { picture.at(size_t{y} * width + x) = colour; }
  void fill(unsigned x, unsigned y, unsigned w, unsigned h, uint32_t colour) {
    for (unsigned j = 0; j < h; ++j)
      for (unsigned i = 0; i < w; ++i) set(x + i, y + j, colour);
  }

  void hextile(Reader& in, Rect r) {
    uint32_t background = 0, foreground = 0;
    for (unsigned y = 0; y < r.height; y += 16) {
      for (unsigned x = 0; x < r.width; x += 16) {
        const unsigned w = std::min(16u, r.width - x), h = std::min(16u, r.height - y), flags = in.u8();
        if ((flags & 1) != 0) {
          for (unsigned j = 0; j < h; ++j)
            for (unsigned i = 0; i < w; ++i) set(r.x + x + i, r.y + y + j, in.pixel(4));
          continue;
        }
        if ((flags & 2) != 0) background = in.pixel(4);
        if ((flags & 4) != 0) foreground = in.pixel(4);
        fill(r.x + x, r.y + y, w, h, background);
        for (unsigned n = (flags & 8) != 0 ? in.u8() : 0; n != 0; --n) {
          const uint32_t colour = (flags & 16) != 0 ? in.pixel(4) : foreground;
          const unsigned xy = in.u8(), wh = in.u8();
          fill(r.x + x + (xy >> 4), r.y + y + (xy & 15), (wh >> 4) + 1, (wh & 15) + 1, colour);
        }
      }
    }
  }

  void tight_rect(Reader& in, Rect r) {
    const unsigned control = in.u8();
    if (control >> 4 == 8) return fill(r.x, r.y, r.width, r.height, in.rgb());
    std::vector<uint32_t> palette;
    if ((control & 0x40) != 0) {
      ASSERT_EQ(in.u8(), 1u);
      palette.resize(in.u8() + 1);
      for (uint32_t& colour : palette) colour = in.rgb();
    }
    const unsigned stride = palette.empty() ? r.width * 3 : palette.size() == 2 ? (r.width + 7) / 8 : r.width;
    const size_t size = size_t{stride} * r.height;
    Reader data;
    if (size < 12) {
      while (data.bytes.size() < size) data.bytes.push_back(static_cast<uint8_t>(in.u8()));
    } else {
      unsigned byte = in.u8();
      size_t length = byte & 0x7f;
      if (byte > 0x7f) length |= ((byte = in.u8()) & 0x7f) << 7;
      if (byte > 0x7f && length > 0x7f) length |= in.u8() << 14;
      data.bytes = tight[control >> 4 & 3].all(in, length);
    }
    ASSERT_EQ(data.bytes.size(), size);
    for (unsigned y = 0; y < r.height; ++y) {
      for (unsigned x = 0; x < r.width; ++x) {
        const uint32_t colour = palette.empty() ? data.rgb()
                                : palette.size() == 2
                                    ? palette[data.bytes[y * stride + x / 8] >> (7 - x % 8) & 1]
                                    : palette.at(data.u8());
        set(r.x + x, r.y + y, colour);
      }
    }
  }

  void zrle_tile(Reader& in, Rect r) {
    const unsigned kind = in.u8();
    std::vector<uint32_t> palette(kind & 0x7f);
    for (uint32_t& colour : palette) colour = in.pixel(3);
    std::vector<uint32_t> out;
    const size_t count = size_t{r.width} * r.height;
    const unsigned bits = kind == 2 ? 1 : kind <= 4 ? 2 : 4;
    for (unsigned y = 0; y < r.height && kind <= 16; ++y) {
      unsigned byte = 0;
      for (unsigned x = 0; x < r.width; ++x) {
        if (kind == 0) out.push_back(in.pixel(3));
        if (kind == 1) out.push_back(palette[0]);
        if (kind < 2) continue;
        if (x * bits % 8 == 0) byte = in.u8();
        out.push_back(palette.at(byte >> (8 - bits - x * bits % 8) & ((1u << bits) - 1)));
      }
    }
    while (kind >= 128 && out.size() < count) {
      const unsigned index = kind == 128 ? 0x80 : in.u8();
      const uint32_t colour = kind == 128 ? in.pixel(3) : palette.at(index & 0x7f);
      size_t length = 1;
      if ((index & 0x80) != 0) {
        unsigned byte = 255;
        while (byte == 255) length += byte = in.u8();
      }
      out.insert(out.end(), length, colour);
    }
    ASSERT_EQ(out.size(), count);
    for (size_t i = 0; i < count; ++i) {
      set(r.x + static_cast<unsigned>(i % r.width), r.y + static_cast<unsigned>(i / r.width), out[i]);
    }
  }

  void rect(Reader& in) {
    const unsigned x = in.u16(), y = in.u16(), w = in.u16(), h = in.u16();
    const auto encoding = static_cast<int32_t>(in.u32());
    const Rect r{x, y, w, h};
    if (encoding == kHextile) return hextile(in, r);
    if (encoding == kTight) return tight_rect(in, r);
    Reader data;
    if (encoding == kZlib) data.bytes = zlib.all(in, in.u32());
    if (encoding == kZrle) data.bytes = zrle.all(in, in.u32());
    if (encoding == kZrle) {
      for (unsigned j = 0; j < h; j += 64)
        for (unsigned i = 0; i < w; i += 64)
          zrle_tile(data, {x + i, y + j, std::min(64u, w - i), std::min(64u, h - j)});
      EXPECT_EQ(data.at, data.bytes.size());
      return;
    }
    Reader& from = encoding == kRaw ? in : data;
    for (unsigned j = 0; j < h; ++j)
      for (unsigned i = 0; i < w; ++i) set(x + i, y + j, from.pixel(4));
  }
};

// Text-like, few colours, smooth and noise: each way of each encoding is taken.
std::vector<uint32_t> picture(unsigned width, unsigned height, unsigned kind) {
  std::mt19937 random(kind);
  std::vector<uint32_t> out(size_t{width} * height);
  for (unsigned y = 0; y < height; ++y) {
    for (unsigned x = 0; x < width; ++x) {
      uint32_t& pixel = out[size_t{y} * width + x];
      if (kind == 0) pixel = 0x0000aa;
      if (kind == 1) pixel = random() % 4 == 0 ? 0xaaaaaa : 0;
      if (kind == 2) pixel = (x / 5 * 31 + y / 7 * 17) % 12 * 0x111111;
      if (kind == 3) pixel = x / 3 % 90 * 0x010203;
      if (kind == 4) pixel = (x * 3 & 0xff) << 16 | (y * 5 & 0xff) << 8 | ((x ^ y) & 0xff);
      if (kind == 5) pixel = random() & 0xffffff;
      if (kind == 6) pixel = (x / 8 % 2 != 0 ? random() : 0x00ff00) & 0xffffff;
    }
  }
  return out;
}

TEST(Encoder, viewers_see_what_was_shown) {
  constexpr unsigned kWidth = 151, kHeight = 83;
  for (const int32_t encoding : {kRaw, kHextile, kZlib, kTight, kZrle}) {
    Encoder encoder;
    Viewer viewer{kWidth, kHeight, {}, {}, {}, {}};
    viewer.picture.resize(size_t{kWidth} * kHeight);
    for (unsigned round = 0; round < 14; ++round) {
      const auto source = picture(kWidth, kHeight, round % 7);
      Output out;
      Encoder::Settings settings{.format = {}, .encoding = encoding, .level = static_cast<int>(round % 10)};
      // In two rectangles, one of which is small.
      const Pixels all{source.data(), kWidth, kWidth, kHeight};
      unsigned count = encoder.encode(settings, {0, 0, kWidth, 80}, all.part(0, 0, kWidth, 80), out);
      count += encoder.encode(settings, {0, 80, kWidth, 3}, all.part(0, 80, kWidth, 3), out);
      Reader reader{out.take()};
      while (count-- != 0) viewer.rect(reader);
      EXPECT_EQ(reader.at, reader.bytes.size());
      ASSERT_EQ(viewer.picture, source) << "encoding " << encoding << " picture " << round;
    }
  }
}

TEST(Encoder, tight_splits_what_is_too_wide) {
  Encoder encoder;
  const auto source = picture(5000, 40, 1);
  Output out;
  const unsigned count = encoder.encode({.format = {}, .encoding = kTight}, {0, 0, 5000, 40},
                                        {source.data(), 5000, 5000, 40}, out);
  EXPECT_EQ(count, 6u);
  Viewer viewer{5000, 40, {}, {}, {}, {}};
  viewer.picture.resize(source.size());
  Reader reader{out.take()};
  for (unsigned i = 0; i < count; ++i) viewer.rect(reader);
  EXPECT_EQ(viewer.picture, source);
}

TEST(PixelFormat, converts_to_what_clients_ask_for) {
  const uint8_t rgb565_big[16] = {16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0};
  const auto format = PixelFormat::parse(rgb565_big);
  ASSERT_TRUE(format);
  Output out;
  format->pixel(0xff8000, out);
  EXPECT_EQ(std::vector<uint8_t>(out.view().begin(), out.view().end()), (std::vector<uint8_t>{0xfc, 0x00}));
  const uint8_t bgr32_big[16] = {32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16};
  Output compact;
  PixelFormat::parse(bgr32_big)->compact_pixels(std::vector<uint32_t>{0x112233}, compact);
  EXPECT_EQ(std::vector<uint8_t>(compact.view().begin(), compact.view().end()),
            (std::vector<uint8_t>{0x33, 0x22, 0x11}));
  const uint8_t mapped[16] = {8, 8, 0, 0};
  EXPECT_TRUE(PixelFormat::parse(mapped)->uses_map());
}

TEST(PixelFormat, nonsense_is_refused) {
  const uint8_t bits[16] = {24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};
  const uint8_t shift[16] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 30, 8, 0};
  const uint8_t max[16] = {32, 24, 0, 1, 0, 200, 0, 255, 0, 255, 16, 8, 0};
  const uint8_t none[16] = {32, 24, 0, 1, 0, 0, 0, 255, 0, 255, 16, 8, 0};
  for (const uint8_t* wire : {bits, shift, max, none}) EXPECT_FALSE(PixelFormat::parse(wire));
}

TEST(DirtyTiles, joins_tiles_to_rectangles) {
  DirtyTiles tiles;
  tiles.resize(100, 50);
  tiles.add({17, 0, 30, 40});
  tiles.add({90, 45, 1000, 1000});
  EXPECT_EQ(tiles.take({0, 0, 100, 50}), (std::vector<Rect>{{16, 0, 32, 48}, {80, 32, 20, 18}}));
  EXPECT_FALSE(tiles.any());
  tiles.add_all();
  EXPECT_EQ(tiles.take({0, 0, 16, 16}), (std::vector<Rect>{{0, 0, 16, 16}}));
  EXPECT_TRUE(tiles.any());
  EXPECT_TRUE(tiles.take({200, 0, 5, 5}).empty());
}

}  // namespace
}  // namespace rhea::display::vnc
