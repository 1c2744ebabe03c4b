#include "display/image_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/check.h"

namespace rhea::display {

namespace {

constexpr unsigned kBytes = 3;  // red, green, blue

void put_rgb(std::span<const uint32_t> row, uint8_t* to) {
  for (const uint32_t pixel : row) {
    *to++ = static_cast<uint8_t>(pixel >> 16);
    *to++ = static_cast<uint8_t>(pixel >> 8);
    *to++ = static_cast<uint8_t>(pixel);
  }
}

std::vector<uint8_t> encode_ppm(const Surface& surface) {
  const std::string header = fmt::format("P6\n{} {}\n255\n", surface.width(), surface.height());
  const size_t row_bytes = size_t{surface.width()} * kBytes;
  std::vector<uint8_t> out(header.size() + row_bytes * surface.height());
  std::copy(header.begin(), header.end(), out.begin());
  for (unsigned y = 0; y < surface.height(); ++y)
    put_rgb(surface.row(y), out.data() + header.size() + row_bytes * y);
  return out;
}

void put_be32(std::vector<uint8_t>& out, uint64_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

// 5.3: length, type, data, CRC of type and data.
void put_chunk(std::vector<uint8_t>& out, std::string_view type, std::span<const uint8_t> data) {
  put_be32(out, data.size());
  const size_t begin = out.size();
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), data.begin(), data.end());
  put_be32(out, ::crc32(0, out.data() + begin, static_cast<uInt>(out.size() - begin)));
}

// 9.2: filter type 2 (difference to the row above) suits screens, whose rows repeat; type 1 (to the left
// pixel) is taken where its sum of differences is smaller, as 12.8 advises.
void filter_row(std::span<const uint8_t> row, std::span<const uint8_t> above, uint8_t* to) {
  uint64_t up_sum = 0, left_sum = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const int left = i >= kBytes ? row[i - kBytes] : 0;
    up_sum += static_cast<uint64_t>(std::abs(row[i] - above[i]));
    left_sum += static_cast<uint64_t>(std::abs(row[i] - left));
  }
  const bool up = up_sum <= left_sum;
  *to++ = up ? 2 : 1;
  for (size_t i = 0; i < row.size(); ++i) {
    const int left = i >= kBytes ? row[i - kBytes] : 0;
    *to++ = static_cast<uint8_t>(row[i] - (up ? above[i] : left));
  }
}

std::vector<uint8_t> encode_png(const Surface& surface) {
  const size_t row_bytes = size_t{surface.width()} * kBytes;
  std::vector<uint8_t> raw((row_bytes + 1) * surface.height());
  std::vector<uint8_t> above(row_bytes), row(row_bytes);
  for (unsigned y = 0; y < surface.height(); ++y) {
    put_rgb(surface.row(y), row.data());
    filter_row(row, above, raw.data() + (row_bytes + 1) * y);
    std::swap(row, above);
  }
  uLongf packed_size = ::compressBound(raw.size());
  std::vector<uint8_t> packed(packed_size);
  constexpr int kLevel = 3;  // screens pack well at any; this one is fast
  CHECK(::compress2(packed.data(), &packed_size, raw.data(), raw.size(), kLevel) == Z_OK);
  packed.resize(packed_size);

  constexpr std::array<uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  std::vector<uint8_t> out(kSignature.begin(), kSignature.end());
  std::vector<uint8_t> header;  // 11.2.2: depth 8, colour type 2, deflate, adaptive filters, no interlace
  put_be32(header, surface.width());
  put_be32(header, surface.height());
  constexpr std::array<uint8_t, 5> kKind = {8, 2, 0, 0, 0};
  header.insert(header.end(), kKind.begin(), kKind.end());
  put_chunk(out, "IHDR", header);
  put_chunk(out, "IDAT", packed);
  put_chunk(out, "IEND", {});
  return out;
}

}  // namespace

std::optional<ImageFormat> image_format(std::string_view name) {
  if (name == "ppm") return ImageFormat::Ppm;
  if (name == "png") return ImageFormat::Png;
  return std::nullopt;
}

std::vector<uint8_t> encode(const Surface& surface, ImageFormat format) {
  return format == ImageFormat::Png ? encode_png(surface) : encode_ppm(surface);
}

Result<> write_image(const Surface& surface, ImageFormat format, const std::string& path) {
  const std::vector<uint8_t> bytes = encode(surface, format);
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "wbe"), std::fclose);
  if (file == nullptr) return fail_errno(errno, "failed to open '" + path + "'");
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  if (!written || std::fclose(file.release()) != 0)
    return fail_errno(errno, "failed to write '" + path + "'");
  return {};
}

}  // namespace rhea::display
