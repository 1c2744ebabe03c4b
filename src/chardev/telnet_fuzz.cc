// Any bytes from a TELNET client: what is left is no more than came, and how they were cut into pieces makes
// no difference.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "chardev/telnet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  rhea::chardev::TelnetFilter whole, pieces;
  const auto at_once = whole.take(bytes);
  CHECK(at_once.bytes.size() + at_once.breaks <= size);
  std::vector<uint8_t> got;
  unsigned breaks = 0;
  for (const uint8_t& byte : bytes) {
    const auto one = pieces.take({&byte, 1});
    got.insert(got.end(), one.bytes.begin(), one.bytes.end());
    breaks += one.breaks;
  }
  CHECK(got == at_once.bytes && breaks == at_once.breaks);
  return 0;
}
