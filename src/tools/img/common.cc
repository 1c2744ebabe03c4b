#include "tools/img/common.h"

#include <cstdio>

#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "tools/img/command.h"
#include "tools/img/secrets.h"

namespace rhea::img {

Option flag_option(char letter, const char* name, bool& flag) {
  return {letter, name, false, [&flag](const std::string&) -> Result<> {
            flag = true;
            return {};
          }};
}

Option text_option(char letter, const char* name, std::string& text) {
  return {letter, name, true, [&text](const std::string& value) -> Result<> {
            text = value;
            return {};
          }};
}

Option format_option(ImageArguments& image) {
  return text_option('f', "", image.format);
}

Option image_opts_option(ImageArguments& image) {
  return flag_option(0, "image-opts", image.image_opts);
}

Option force_share_option(ImageArguments& image) {
  return flag_option('U', "force-share", image.force_share);
}

Option cache_option(char letter, std::string& cache) {
  return text_option(letter, "", cache);
}

Option object_option() {
  return {0, "object", true, [](const std::string& value) { return add_object(value); }};
}

Option output_option(Output& output) {
  return {0, "output", true, [&output](const std::string& value) -> Result<> {
            if (value != "human" && value != "json")
              return fail(ErrorKind::Invalid, "--output must be used with human or json as argument.");
            output = value == "json" ? Output::Json : Output::Human;
            return {};
          }};
}

Option help_option() {
  return {'h', "help", false, nullptr};
}

Result<> check_image_arguments(const ImageArguments& arguments) {
  if (arguments.image_opts && !arguments.format.empty())
    return fail(ErrorKind::Invalid, "--image-opts and --format are mutually exclusive");
  return {};
}

Result<block::CacheMode> cache_mode(const std::string& word, const char* what) {
  auto mode = block::parse_cache_mode(word);
  if (!mode) return failf(ErrorKind::Invalid, "Invalid {} option: {}", what, word);
  return mode;
}

Result<std::unique_ptr<block::ImageNode>> open_named(const std::string& filename,
                                                     const ImageArguments& arguments, block::OpenFlags flags,
                                                     std::string_view cache_default, bool quiet,
                                                     const config::KeyValues& more) {
  flags.cache = TRY(cache_mode(arguments.cache.empty() ? std::string(cache_default) : arguments.cache,
                               arguments.cache_name));
  flags.force_share = arguments.force_share;
  block::ImageName name;
  name.filename = filename;
  name.format = arguments.format;
  const std::string context = fmt::format("Could not open '{}'", filename);
  if (arguments.image_opts) name = TRY_IN(block::image_name_from_options(filename), context);
  name.options.insert(name.options.end(), more.begin(), more.end());
  auto image = block::open_image(name, flags);
  if (!image) return std::unexpected(std::move(image).error().in(context));
  if (flags.writable && arguments.format.empty() && (*image)->driver().name() == "raw" && !quiet &&
      !arguments.image_opts && !filename.starts_with("json:")) {
    fmt::print(
        stderr,
        "WARNING: Image format was not specified for '{}' and probing guessed raw.\n"
        "         Automatically detecting the format is dangerous for raw images, write operations on block "
        "0 will be restricted.\n"
        "         Specify the 'raw' format explicitly to remove the restrictions.\n",
        filename);
  }
  return image;
}

std::unexpected<Error> not_a_size(std::string_view what) {
  return failf(ErrorKind::Invalid,
               "Invalid {} specified. You may use k, M, G, T, P or E suffixes for\n"
               "{}: kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.",
               what, program_name());
}

Result<uint64_t> image_size(const std::string& text) {
  const auto size = parse_size(text);
  if (size && *size <= static_cast<uint64_t>(INT64_MAX)) return *size;
  if (size || size.error().kind() == ErrorKind::OutOfRange)
    return failf(ErrorKind::Invalid, "Invalid image size specified. Must be between 0 and {}.", INT64_MAX);
  return not_a_size("image size");
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace rhea::img
