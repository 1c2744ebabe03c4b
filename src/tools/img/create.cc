// create: a new image, of a size or as large as the image that backs it.
#include <fmt/core.h>

#include "base/failf.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/new_image.h"

namespace rhea::img {

Result<int> run_create(Words words) {
  NewImage image;
  std::string options_text;
  bool quiet = false;
  const std::vector<Option> options = {
      help_option(),
      text_option('f', "", image.format),
      text_option('b', "", image.backing_file),
      text_option('F', "", image.backing_format),
      flag_option('u', "", image.backing_unchecked),
      flag_option('q', "quiet", quiet),
      object_option(),
      {'o', "", true, [&](const std::string& value) { return add_options(options_text, value); }},
  };
  const auto names = TRY(parse_arguments(words, options));
  if (asks_for_options_help(options_text)) {
    print(TRY(options_help(image.format, names.empty() ? "" : names[0])));
    return 0;
  }
  if (names.empty()) return usage("Expecting image file name");
  image.filename = names[0];
  image.options = options_text;
  if (names.size() > 1) image.size = TRY(image_size(names[1]));
  if (names.size() > 2) return usage(fmt::format("Unexpected argument: {}", names[2]));
  const auto made = create_image(image, quiet);
  if (!made) return std::unexpected(Error(made.error()).in(image.filename));
  return 0;
}

}  // namespace rhea::img
