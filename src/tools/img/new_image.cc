#include "tools/img/new_image.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "base/failf.h"
#include "block/open.h"
#include "config/key_values.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

// The size of the backing image, which is opened to see that it can be.
Result<uint64_t> backing_size(const NewImage& image, const std::string& file, const std::string& format) {
  block::ImageName name;
  name.filename = block::backing_path(image.filename, file);
  name.format = format;
  const auto backing = block::open_image(name, {});
  if (!backing)
    return failf(backing.error().kind(), "{}\nCould not open backing image.", backing.error().message());
  if (format.empty())
    return failf(ErrorKind::Invalid, "Backing file specified without backing format\nDetected format of {}.",
                 (*backing)->driver().name());
  return (*backing)->size();
}

Result<> add_backing(const NewImage& image, const block::FormatDriver& driver, block::CreateValues& values,
                     std::span<const block::CreateOption> table) {
  if (!image.backing_file.empty()) {
    if (!driver.can_back())
      return failf(ErrorKind::Unsupported, "Backing file not supported for file format '{}'", driver.name());
    TRY(values.set("backing_file", image.backing_file, table));
  }
  if (!image.backing_format.empty()) {
    if (!driver.can_back())
      return failf(ErrorKind::Unsupported, "Backing format not supported for file format '{}'",
                   driver.name());
    TRY(values.set("backing_fmt", image.backing_format, table));
  }
  const std::string file = values.text("backing_file");
  const std::string format = values.text("backing_fmt");
  if (!file.empty() && block::backing_path(image.filename, file) == image.filename)
    return fail(ErrorKind::Invalid,
                "Error: Trying to create an image with the same filename as the backing file");
  if (!format.empty() && block::find_format(format) == nullptr)
    return failf(ErrorKind::Unsupported, "Unknown driver '{}'{}", format,
                 file.empty() || image.backing_unchecked ? "" : "\nCould not open backing image.");
  if (!file.empty() && format.empty() && image.backing_unchecked && !image.for_convert)
    return fail(ErrorKind::Invalid, "Backing file specified without backing format");
  return {};
}

}  // namespace

std::vector<block::CreateOption> option_table(const block::FormatDriver& driver,
                                              const std::string& filename) {
  std::vector<block::CreateOption> table(driver.create_options().begin(), driver.create_options().end());
  // Where both have one of that name, the format's counts.
  for (const block::CreateOption& option : block::protocol_create_options(filename)) {
    const bool known = std::ranges::any_of(
        table, [&](const auto& other) { return std::string_view(other.name) == option.name; });
    if (!known) table.push_back(option);
  }
  return table;
}

Result<> create_image(const NewImage& image, bool quiet) {
  const block::FormatDriver* driver = block::find_format(image.format);
  if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown file format '{}'", image.format);
  if (!driver->can_create())
    return failf(ErrorKind::Unsupported, "Format driver '{}' does not support image creation", image.format);
  const std::vector<block::CreateOption> table = option_table(*driver, image.filename);
  block::CreateValues values;
  TRY(values.parse(image.options, table));
  if (image.size && values.has("size") && !image.for_convert)
    return fail(ErrorKind::Invalid, "The image size must be specified only once");
  if (image.size && !values.has("size")) values.put("size", std::to_string(*image.size));
  TRY(add_backing(image, *driver, values, table));
  const std::string backing = values.text("backing_file");
  if (image.for_convert && !backing.empty() && values.text("backing_fmt").empty())
    return fail(ErrorKind::Invalid, "Use of backing file requires explicit backing format");
  if (!backing.empty() && !image.backing_unchecked) {
    const uint64_t size = TRY(backing_size(image, backing, values.text("backing_fmt")));
    if (!values.has("size")) values.put("size", std::to_string(size));
  }
  if (!values.has("size")) return fail(ErrorKind::Invalid, "Image creation needs a size parameter");
  if (!quiet) {
    print(fmt::format("Formatting '{}', fmt={} {}\n", image.filename, image.format, values.line(table)));
    std::fflush(stdout);
  }
  block::CreateRequest request{
      .filename = image.filename, .size = values.number("size", 0), .values = values};
  if (!image.for_convert) return driver->create(request);
  auto made = driver->create(request);
  if (made) return made;
  const std::string context = fmt::format("{}: error while converting {}", image.filename, image.format);
  return std::unexpected(std::move(made).error().in(context));
}

Result<> add_options(std::string& all, const std::string& more) {
  if (more.empty() || more.starts_with(",") || (more.ends_with(",") && !more.ends_with(",,")))
    return failf(ErrorKind::Invalid, "Invalid option list: {}", more);
  if (!all.empty()) all += ",";
  all += more;
  return {};
}

bool asks_for_options_help(const std::string& options) {
  return config::asks_for_help(options) || options.starts_with("help,") || options.starts_with("?,");
}

Result<std::string> options_help(const std::string& format, const std::string& filename) {
  const block::FormatDriver* driver = block::find_format(format);
  if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown file format '{}'", format);
  if (!driver->can_create())
    return failf(ErrorKind::Unsupported, "Format driver '{}' does not support image creation", format);
  if (!filename.empty())
    return "Supported options:\n" + block::create_options_help(option_table(*driver, filename));
  std::vector<block::CreateOption> table(driver->create_options().begin(), driver->create_options().end());
  return fmt::format(
      "Supported {} options:\n{}\nThe protocol level may support further options.\n"
      "Specify the target filename to include those options.\n",
      format, block::create_options_help(std::move(table)));
}

}  // namespace rhea::img
