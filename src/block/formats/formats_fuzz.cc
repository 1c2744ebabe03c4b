// Any bytes as an image of any format: refused with one line, or read and written without a crash. The first
// byte tells format and mode: bit 0 opened for writing, bits 1 to 6 the format, bit 7 the rest is pages.
#include <cstddef>
#include <cstdint>

#include "block/secrets.h"
#include "block/testing/exercise.h"
#include "block/testing/pages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhea::block;
  static const bool has_secret = add_secret("exercise", {{"data", "exercise"}}).has_value();
  if (size == 0 || !has_secret) return 0;
  const FormatDriver& driver = *formats()[(data[0] >> 1 & 0x3f) % formats().size()];
  std::vector<uint8_t> image(data + 1, data + size);
  if ((data[0] & 0x80) != 0) image = from_pages(image);
  put_right(driver.name(), image);
  exercise(driver, image, (data[0] & 1) != 0);
  return 0;
}
