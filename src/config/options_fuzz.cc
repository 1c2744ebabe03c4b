// Any text as an option's argument: it parses or is refused with one line, and what parses survives a second
// time.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/sizes.h"
#include "config/command_line.h"
#include "config/schema.h"

namespace {

struct Everything {
  std::string text;
  std::optional<uint32_t> number;
  int64_t level = 0;
  bool flag = false;
  uint64_t bytes = 0;
  int word = 0;
  std::vector<std::string> list;
};

const rhea::config::Group<Everything>& group() {
  using namespace rhea::config;
  static const Group<Everything> table{
      "fuzz",
      "text",
      {
          text("text", &Everything::text, "text"),
          integer("number", &Everything::number, 1, 100, "number"),
          integer("level", &Everything::level, INT64_MIN, INT64_MAX, "level"),
          boolean("flag", &Everything::flag, "flag"),
          size("bytes", &Everything::bytes, 1, 0, UINT64_MAX, "bytes"),
          choice("word", &Everything::word, {{"one", 1}, {"two", 2}}, "word"),
          text_list("list", &Everything::list, "list"),
      }};
  return table;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: bytes seen as characters.
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = group().parse(input);
  if (parsed) CHECK(!parsed->number || (*parsed->number >= 1 && *parsed->number <= 100));
  if (!parsed) CHECK(!parsed.error().message().empty());
  if (const auto bytes = rhea::parse_size(input)) CHECK(rhea::parse_size(std::to_string(*bytes)) == *bytes);
  return 0;
}
