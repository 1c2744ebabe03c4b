#include "block/formats/uuid.h"

#include <sys/random.h>

#include <cerrno>
#include <span>

#include "base/endian.h"

namespace rhea::block {
namespace {

Result<> fill_random(std::span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t count = ::getrandom(out.data(), out.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "getting random bytes");
    out = out.subspan(static_cast<size_t>(count));
  }
  return {};
}

}  // namespace

Result<Uuid> random_uuid(std::endian order) {
  Uuid out{};
  TRY(fill_random(out));
  const size_t version = order == std::endian::little ? 7 : 6;
  out[version] = static_cast<uint8_t>((out[version] & 0x0f) | 0x40);
  out[8] = static_cast<uint8_t>((out[8] & 0x3f) | 0x80);
  return out;
}

Result<uint32_t> random_word() {
  std::array<uint8_t, 4> bytes{};
  TRY(fill_random(bytes));
  return load_le<uint32_t>(bytes.data());
}

}  // namespace rhea::block
