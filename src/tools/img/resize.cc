// resize: another size for an image's disk.
#include <fmt/core.h>

#include "base/checked.h"
#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

Result<block::Preallocation> preallocation(const std::string& word) {
  if (const auto mode = block::parse_preallocation(word)) return *mode;
  return failf(ErrorKind::Invalid, "Invalid preallocation mode '{}'", word);
}

Result<uint64_t> wanted_size(const std::string& text, uint64_t current) {
  const bool relative = text.starts_with('+') || text.starts_with('-');
  const auto number = parse_size(relative ? std::string_view(text).substr(1) : std::string_view(text));
  if (!number)
    return fail(ErrorKind::Invalid,
                "Parameter 'size' expects a non-negative number below 2^64\n"
                "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, "
                "respectively.");
  std::optional<uint64_t> size = *number;
  if (text.starts_with('+')) size = checked_add(current, *number);
  if (text.starts_with('-')) size = checked_sub(current, *number);
  if (!size || *size > static_cast<uint64_t>(INT64_MAX) || *size == 0)
    return fail(ErrorKind::Invalid, "New image size must be positive");
  return *size;
}

}  // namespace

Result<int> run_resize(Words words) {
  // The size may begin with '-', which no option does that is a number.
  if (words.empty()) return usage("Not enough arguments");
  const std::string size_text = words.back();
  ImageArguments image;
  bool quiet = false;
  bool shrink = false;
  block::Preallocation mode = block::Preallocation::Off;
  const std::vector<Option> options = {
      help_option(),
      format_option(image),
      image_opts_option(image),
      object_option(),
      flag_option('q', "quiet", quiet),
      flag_option(0, "shrink", shrink),
      {0, "preallocation", true, [&mode](const std::string& value) -> Result<> {
         mode = TRY(preallocation(value));
         return {};
       }}};
  if (size_text == "-h" || size_text == "--help") return TRY(parse_arguments(words, options)).empty() ? 0 : 1;
  if (words.size() < 2) return usage("Not enough arguments");
  const auto names = TRY(parse_arguments(words.first(words.size() - 1), options));
  if (names.size() != 1) return usage("Expecting image file name and size");
  TRY(check_image_arguments(image));
  block::OpenFlags flags;
  flags.writable = true;
  flags.exclusive_resize = true;
  // Said before anything is opened, as it has nothing to do with the image.
  TRY(wanted_size(size_text, INT64_MAX / 2));
  const auto node = TRY(open_named(names[0], image, flags, "writeback", quiet));
  const uint64_t current = node->size();
  const uint64_t size = TRY(wanted_size(size_text, current));
  if (size <= current && mode != block::Preallocation::Off)
    return fail(ErrorKind::Invalid, "Preallocation can only be used for growing images");
  if (size < current && !shrink) {
    error_line("Use the --shrink option to perform a shrink operation.");
    warn_line(
        "Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an "
        "operation, make sure there is no important data there.");
    return 1;
  }
  TRY(node->resize(size, mode));
  TRY(node->close());
  if (!quiet) print("Image resized.\n");
  return 0;
}

}  // namespace rhea::img
