// What most commands have in common: how the image is named and opened, and what was asked for output.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "block/open.h"
#include "tools/img/arguments.h"

namespace rhea::img {

enum class Output { Human, Json };

// One image on the command line.
struct ImageArguments {
  std::string format;                // -f
  bool image_opts = false;           // --image-opts: names are option lists
  bool force_share = false;          // -U
  std::string cache;                 // -t or -T
  const char* cache_name = "cache";  // as messages call that option
};

// Makers of the options that many commands share.
Option format_option(ImageArguments& image);
Option image_opts_option(ImageArguments& image);
Option force_share_option(ImageArguments& image);
Option cache_option(char letter, std::string& cache);
Option object_option();
Option flag_option(char letter, const char* name, bool& flag);
Option text_option(char letter, const char* name, std::string& text);
Option output_option(Output& output);
Option help_option();

// Opens what `filename` names; flags.cache and force_share come from `arguments`. A raw image whose format
// was guessed gets the warning if it is opened for writing. `more`: options that the name does not give.
Result<std::unique_ptr<block::ImageNode>> open_named(const std::string& filename,
                                                     const ImageArguments& arguments, block::OpenFlags flags,
                                                     std::string_view cache_default, bool quiet = false,
                                                     const config::KeyValues& more = {});
// The message of qemu-img for -f together with --image-opts.
Result<> check_image_arguments(const ImageArguments& arguments);

// A size on the command line; the two lines of qemu-img if it is none.
// The error for a number with an unknown suffix, or none at all; `what` it would have been.
std::unexpected<Error> not_a_size(std::string_view what);
Result<uint64_t> image_size(const std::string& text);
Result<block::CacheMode> cache_mode(const std::string& word, const char* what);

// Prints to stdout, unless quiet.
void print(std::string_view text);

}  // namespace rhea::img
