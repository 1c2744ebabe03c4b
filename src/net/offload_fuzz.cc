// Fuzzes what is done to frames: the input is a description and a frame. Segments must be whole, and no
// longer than was asked.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/endian.h"
#include "net/offload.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhea::net;
  if (size < 8) return 0;
  const Offload offload{.checksum_wanted = (data[0] & 1) != 0,
                        .checksum_start = rhea::load_le<uint16_t>(data + 2),
                        .checksum_offset = rhea::load_le<uint16_t>(data + 4),
                        .gso = static_cast<Gso>((data[0] >> 1) % 3),
                        .segment_size = rhea::load_le<uint16_t>(data + 6)};
  const Takes takes{.partial_checksum = (data[0] & 0x10) != 0, .large = (data[0] & 0x20) != 0};
  const Frame frame(data + 8, size - 8);
  if (frame.size() < kEthernetHeader || frame.size() > kLargestFrame) return 0;
  resolve(frame, offload, takes, [&](Frame part, const Offload& left) {
    CHECK(part.size() <= frame.size());
    CHECK(takes.large || left.gso == Gso::None);
    CHECK(takes.partial_checksum || !left.checksum_wanted);
    const Headers h = parse_headers(part);
    CHECK(h.end <= part.size() && h.payload <= part.size());
  });
  return 0;
}
