#include "block/formats/qcow2/compression.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <zstd.h>

#include <memory>

#include "base/failf.h"
#include "block/formats/qcow2/layout.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint16_t kWindowBits = 12;  // raw deflate, 4 KiB
constexpr uint32_t kDeflateLevel = 3;

// ISA-L, since it can keep to a small window (libdeflate cannot) and is ten times as fast as zlib at nearly
// its size.
Result<std::vector<uint8_t>> compress_deflate(std::span<const uint8_t> plain) {
  thread_local std::vector<uint8_t> work(ISAL_DEF_LVL3_DEFAULT);
  thread_local isal_zstream stream;
  std::vector<uint8_t> out(plain.size());
  ::isal_deflate_stateless_init(&stream);
  stream.level = kDeflateLevel;
  stream.level_buf = work.data();
  stream.level_buf_size = static_cast<uint32_t>(work.size());
  stream.hist_bits = kWindowBits;
  stream.gzip_flag = IGZIP_DEFLATE;
  stream.end_of_stream = 1;
  stream.flush = NO_FLUSH;
  // SAFETY: the interface lacks the const; the input is only read.
  stream.next_in = const_cast<uint8_t*>(plain.data());
  stream.avail_in = static_cast<uint32_t>(plain.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uint32_t>(out.size() - 1);
  if (::isal_deflate_stateless(&stream) != COMP_OK) return std::vector<uint8_t>();
  out.resize(stream.total_out);
  return out;
}

Result<std::vector<uint8_t>> compress_zstd(std::span<const uint8_t> plain) {
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ::ZSTD_freeCCtx(context); }
  };
  thread_local std::unique_ptr<ZSTD_CCtx, Free> context(::ZSTD_createCCtx());
  if (!context) return fail(ErrorKind::Io, "zstd cannot be set up");
  std::vector<uint8_t> out(plain.size());
  const size_t size = ::ZSTD_compressCCtx(context.get(), out.data(), out.size() - 1, plain.data(),
                                          plain.size(), ZSTD_CLEVEL_DEFAULT);
  if (::ZSTD_isError(size) != 0) return std::vector<uint8_t>();
  out.resize(size);
  return out;
}

std::unexpected<Error> bad_data() {
  return fail(ErrorKind::Io, "Input/output error");
}

Result<> decompress_zlib(std::span<const uint8_t> packed, std::span<uint8_t> into) {
  struct Free {
    void operator()(libdeflate_decompressor* decompressor) const {
      ::libdeflate_free_decompressor(decompressor);
    }
  };
  thread_local std::unique_ptr<libdeflate_decompressor, Free> decompressor(::libdeflate_alloc_decompressor());
  if (!decompressor) return fail(ErrorKind::Io, "libdeflate cannot be set up");
  size_t used = 0;
  const auto result = ::libdeflate_deflate_decompress_ex(decompressor.get(), packed.data(), packed.size(),
                                                         into.data(), into.size(), &used, nullptr);
  return result == LIBDEFLATE_SUCCESS ? Result<>() : bad_data();
}

Result<> decompress_zstd(std::span<const uint8_t> packed, std::span<uint8_t> into) {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ::ZSTD_freeDCtx(context); }
  };
  thread_local std::unique_ptr<ZSTD_DCtx, Free> context(::ZSTD_createDCtx());
  if (!context) return fail(ErrorKind::Io, "zstd cannot be set up");
  ::ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  ZSTD_outBuffer out{into.data(), into.size(), 0};
  // The cluster may be made of several frames, and what follows them is not ours.
  while (out.pos < out.size) {
    const size_t in_before = in.pos;
    const size_t out_before = out.pos;
    const size_t result = ::ZSTD_decompressStream(context.get(), &out, &in);
    if (::ZSTD_isError(result) != 0) return bad_data();
    if (in.pos == in_before && out.pos == out_before) return bad_data();
  }
  return {};
}

}  // namespace

Result<std::vector<uint8_t>> compress_cluster(unsigned type, std::span<const uint8_t> plain) {
  return type == kCompressionZstd ? compress_zstd(plain) : compress_deflate(plain);
}

Result<> decompress_cluster(unsigned type, std::span<const uint8_t> packed, std::span<uint8_t> into) {
  return type == kCompressionZstd ? decompress_zstd(packed, into) : decompress_zlib(packed, into);
}

}  // namespace rhea::block::qcow2
