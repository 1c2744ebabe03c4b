// dd: copies blocks from one image into a new one.
#include <fmt/core.h>

#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/new_image.h"

namespace rhea::img {
namespace {

constexpr uint64_t kLargestBlock = 2147483647;

struct Operands {
  std::string input;
  std::string output;
  uint64_t block_size = 512;
  std::optional<uint64_t> count;
  uint64_t skip = 0;
};

Result<uint64_t> number(const std::string& name, const std::string& text, uint64_t min, uint64_t max) {
  const auto value = parse_size(text);
  if (!value) return not_a_size(name);
  if (*value < min || *value > max)
    return failf(ErrorKind::Invalid, "Invalid {} specified. Must be between {} and {}.", name, min, max);
  return *value;
}

Result<Operands> parse_operands(std::span<const std::string> words) {
  Operands out;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const bool known = name == "if" || name == "of" || name == "bs" || name == "count" || name == "skip";
    if (equals == std::string::npos || !known)
      return failf(ErrorKind::Invalid, "unrecognized operand {}", name);
    if (name == "if") out.input = value;
    if (name == "of") out.output = value;
    if (name == "bs") out.block_size = TRY(number(name, value, 1, kLargestBlock));
    if (name == "count") out.count = TRY(number(name, value, 0, INT64_MAX));
    if (name == "skip") out.skip = TRY(number(name, value, 0, INT64_MAX));
  }
  if (out.input.empty() || out.output.empty())
    return fail(ErrorKind::Invalid, "Must specify both input and output files");
  return out;
}

}  // namespace

Result<int> run_dd(Words words) {
  ImageArguments image;
  std::string output_format = "raw";
  const std::vector<Option> options = {help_option(),
                                       format_option(image),
                                       text_option('O', "", output_format),
                                       image_opts_option(image),
                                       force_share_option(image),
                                       object_option()};
  const auto names = TRY(parse_arguments(words, options));
  const Operands operands = TRY(parse_operands(names));
  TRY(check_image_arguments(image));
  const auto source = TRY(open_named(operands.input, image, {}, "writeback"));
  const block::FormatDriver* driver = block::find_format(output_format);
  if (driver == nullptr) return fail(ErrorKind::Unsupported, "Unknown file format");
  if (!driver->can_create())
    return failf(ErrorKind::Unsupported, "Format driver '{}' does not support image creation", output_format);
  uint64_t end = source->size();
  if (operands.count) end = std::min(end, checked_mul(*operands.count, operands.block_size).value_or(end));
  const auto skipped = checked_mul(operands.skip, operands.block_size);
  const uint64_t begin = skipped.value_or(UINT64_MAX);
  NewImage fresh;
  fresh.filename = operands.output;
  fresh.format = output_format;
  fresh.size = begin < end ? end - begin : 0;
  TRY_IN(create_image(fresh, true),
         fmt::format("{}: error while creating output image of type {}", operands.output, output_format));
  if (begin > end) {
    // Nothing is left to copy; that is no failure.
    error_line(fmt::format("{}: cannot skip to specified offset", operands.input));
    return 0;
  }
  ImageArguments target_arguments;
  target_arguments.format = output_format;
  block::OpenFlags flags;
  flags.writable = true;
  const auto target = TRY(open_named(operands.output, target_arguments, flags, "writeback"));
  std::vector<uint8_t> buffer(std::max<uint64_t>(operands.block_size, std::min<uint64_t>(end - begin, kMiB)));
  for (uint64_t at = begin; at < end; at += buffer.size()) {
    const auto part =
        std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - at)));
    TRY_IN(source->read(at, part), "error while reading from input image file");
    TRY_IN(target->write(at - begin, part), "error while writing to output image file");
  }
  TRY(target->close());
  return 0;
}

}  // namespace rhea::img
