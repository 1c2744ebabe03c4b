// Any bytes as an image of any format: refused with one line, or read and written without a crash. The first
// byte chooses the format and whether it is opened for writing.
#include <cstddef>
#include <cstdint>

#include "block/testing/exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhea::block;
  if (size == 0) return 0;
  const FormatDriver& driver = *formats()[(data[0] >> 1) % formats().size()];
  exercise(driver, {data + 1, data + size}, (data[0] & 1) != 0);
  return 0;
}
