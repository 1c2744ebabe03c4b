// amend: other options for an image that exists.
#include <fmt/core.h>

#include <algorithm>

#include "base/failf.h"
#include "block/facets.h"
#include "config/key_values.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/new_image.h"
#include "tools/img/progress.h"

namespace rhea::img {
namespace {

struct Request {
  ImageArguments image;
  std::string options;
  bool quiet = false;
  bool progress = false;
  bool force = false;  // leave to make data unreadable: to erase the last password
};

std::unexpected<Error> cannot_amend(std::string_view format) {
  return failf(ErrorKind::Unsupported, "Format driver '{}' does not support option amendment", format);
}

Result<> print_options(const block::FormatDriver& driver) {
  if (driver.amend_options().empty()) return cannot_amend(driver.name());
  const auto table = driver.amend_options();
  print(fmt::format("Amend options for '{}':\n{}", driver.name(),
                    block::create_options_help({table.begin(), table.end()})));
  return {};
}

Result<block::CreateValues> parse_values(const block::FormatDriver& driver, const std::string& options) {
  for (const config::KeyValue& one : TRY(config::split_options(options, ""))) {
    const auto named = [&](const block::CreateOption& option) { return option.name == one.key; };
    if (!std::ranges::any_of(driver.amend_options(), named) &&
        std::ranges::any_of(driver.create_options(), named))
      return failf(ErrorKind::Invalid,
                   "Invalid parameter '{}'\nThis option is only supported for image creation", one.key);
  }
  block::CreateValues values;
  TRY(values.parse(options, driver.amend_options()));
  return values;
}

Result<> amend(const Request& r, block::ImageNode& image) {
  auto* amender = block::facet<block::Amender>(image);
  if (amender == nullptr) return cannot_amend(image.driver().name());
  const block::CreateValues values = TRY(parse_values(image.driver(), r.options));
  Progress progress(r.progress, r.quiet);
  const auto done =
      amender->amend(values, r.force, [&](uint64_t at, uint64_t total) { progress.report(at, total); });
  // What was done before a failure stays, and must be whole.
  TRY(image.close());
  if (!done) return done;
  progress.finish();
  return {};
}

}  // namespace

Result<int> run_amend(Words words) {
  Request r;
  const std::vector<Option> options = {
      help_option(),
      format_option(r.image),
      {'o', "", true, [&r](const std::string& value) { return add_options(r.options, value); }},
      flag_option('p', "progress", r.progress),
      flag_option('q', "quiet", r.quiet),
      cache_option('t', r.image.cache),
      image_opts_option(r.image),
      object_option(),
      flag_option(0, "force", r.force),
  };
  const auto names = TRY(parse_arguments(words, options));
  if (r.options.empty()) return usage("Must specify options (-o)");
  const bool asks = asks_for_options_help(r.options);
  if (asks && !r.image.format.empty()) {
    const block::FormatDriver* driver = block::find_format(r.image.format);
    if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown file format '{}'", r.image.format);
    TRY(print_options(*driver));
    return 0;
  }
  if (names.size() != 1) return fail(ErrorKind::Invalid, "Expecting one image file name");
  TRY(check_image_arguments(r.image));
  block::OpenFlags flags;
  flags.writable = true;
  const auto image = TRY(open_named(names[0], r.image, flags, "writeback", r.quiet));
  if (asks) {
    TRY(print_options(image->driver()));
    return 0;
  }
  TRY(amend(r, *image));
  return 0;
}

}  // namespace rhea::img
