// Making an image as `create` and `convert` do it: options checked against the tables of format and protocol,
// the backing image looked at, the line "Formatting ...".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "block/driver.h"

namespace rhea::img {

struct NewImage {
  std::string filename;
  std::string format = "raw";
  std::string backing_file;
  std::string backing_format;
  bool backing_unchecked = false;  // -u
  std::string options;             // all -o, joined with commas
  std::optional<uint64_t> size;    // none: of the options or of the backing image
  bool for_convert = false;        // its messages
};

// Errors are without the file's name, which the caller adds.
Result<> create_image(const NewImage& image, bool quiet);

// All options of a format and of the protocol that `filename` names.
std::vector<block::CreateOption> option_table(const block::FormatDriver& driver, const std::string& filename);
// Adds one -o to those before.
Result<> add_options(std::string& all, const std::string& more);
bool asks_for_options_help(const std::string& options);
// The text of `-o help`; `filename` may be empty.
Result<std::string> options_help(const std::string& format, const std::string& filename);

}  // namespace rhea::img
