#include "block/formats/qcow2/compression.h"

#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>

#include "base/failf.h"
#include "block/formats/qcow2/layout.h"

namespace rhea::block::qcow2 {
namespace {

constexpr int kWindowBits = -12;  // raw deflate, 4 KiB

Result<std::vector<uint8_t>> compress_zlib(std::span<const uint8_t> plain) {
  // One stream a thread, reused: setting one up costs as much as compressing a small cluster.
  struct Stream {
    z_stream z{};
    bool ready = false;
    ~Stream() {
      if (ready) ::deflateEnd(&z);
    }
  };
  thread_local Stream stream;
  if (!stream.ready) {
    if (::deflateInit2(&stream.z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, 9, Z_DEFAULT_STRATEGY) !=
        Z_OK)
      return fail(ErrorKind::Io, "zlib cannot be set up");
    stream.ready = true;
  } else {
    ::deflateReset(&stream.z);
  }
  std::vector<uint8_t> out(plain.size());
  stream.z.next_in =
      const_cast<Bytef*>(plain.data());  // SAFETY: zlib's interface lacks the const; it only reads
  stream.z.avail_in = static_cast<uInt>(plain.size());
  stream.z.next_out = out.data();
  stream.z.avail_out = static_cast<uInt>(out.size() - 1);
  if (::deflate(&stream.z, Z_FINISH) != Z_STREAM_END) return std::vector<uint8_t>();
  out.resize(out.size() - 1 - stream.z.avail_out);
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
  return type == kCompressionZstd ? compress_zstd(plain) : compress_zlib(plain);
}

Result<> decompress_cluster(unsigned type, std::span<const uint8_t> packed, std::span<uint8_t> into) {
  return type == kCompressionZstd ? decompress_zstd(packed, into) : decompress_zlib(packed, into);
}

}  // namespace rhea::block::qcow2
