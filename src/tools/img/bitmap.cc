// bitmap: persistent dirty bitmaps, one or more actions on one of them.
#include <fmt/core.h>

#include <vector>

#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "tools/img/bitmaps.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

constexpr size_t kRangesAtATime = 4096;

struct Action {
  const char* name;
  std::string source;  // of merge
};

struct Request {
  ImageArguments image;
  std::string source_file;    // -b
  std::string source_format;  // -F
  std::vector<Action> actions;
  uint64_t granularity = 0;
  bool adds = false;
  bool merges = false;
};

Option action_option(Request& r, const char* name, bool takes_value = false) {
  return {0, name, takes_value, [&r, name](const std::string& value) -> Result<> {
            r.actions.push_back({name, value});
            r.adds |= std::string_view(name) == "add";
            r.merges |= std::string_view(name) == "merge";
            return {};
          }};
}

Result<> check_request(const Request& r, const std::vector<std::string>& names) {
  if (r.actions.empty())
    return fail(ErrorKind::Invalid,
                "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
  if (names.size() != 2) return fail(ErrorKind::Invalid, "Expecting filename and bitmap name");
  if (r.granularity != 0 && !r.adds) return fail(ErrorKind::Invalid, "granularity only supported with --add");
  if (!r.source_format.empty() && r.source_file.empty())
    return fail(ErrorKind::Invalid, "-F only supported with -b");
  if (!r.source_file.empty() && !r.merges)
    return fail(ErrorKind::Invalid, "Merge bitmap source file only supported with --merge");
  return check_image_arguments(r.image);
}

Result<> act(const Request& r, const Action& action, block::ImageNode& image, block::ImageNode& source,
             const std::string& name) {
  auto* store = block::facet<block::BitmapStore>(image);
  const std::string_view what = action.name;
  if (store == nullptr) {
    if (what == "add")
      return failf(ErrorKind::Unsupported, "Can't store persistent bitmaps to {}: Operation not supported",
                   image.filename());
    return failf(ErrorKind::NotFound, "Dirty bitmap '{}' not found", name);
  }
  if (what == "add") return store->add_bitmap(name, r.granularity, true);
  if (what == "remove") return store->remove_bitmap(name);
  if (what == "clear") return store->clear_bitmap(name);
  if (what == "enable" || what == "disable") return store->set_recording(name, what == "enable");
  return merge_bitmap(source, action.source, image, name);
}

}  // namespace

Result<> merge_bitmap(block::ImageNode& from_image, const std::string& from_name, block::ImageNode& to_image,
                      const std::string& to_name) {
  auto* from = block::facet<block::BitmapStore>(from_image);
  auto* to = block::facet<block::BitmapStore>(to_image);
  const block::DirtyRange nothing{};
  TRY(to->mark_dirty(to_name, nothing));  // is it there, and sound?
  if (from == nullptr) return failf(ErrorKind::NotFound, "Dirty bitmap '{}' not found", from_name);
  TRY(from->dirty_ranges(from_name, 0, 0));
  if (from_image.size() != to_image.size())
    return failf(
        ErrorKind::Invalid,
        "Bitmaps are of different sizes (destination size is {}, source size is {}) and can't be merged",
        to_image.size(), from_image.size());
  for (uint64_t at = 0; at < from_image.size();) {
    const auto ranges = TRY(from->dirty_ranges(from_name, at, kRangesAtATime));
    for (const block::DirtyRange& range : ranges) TRY(to->mark_dirty(to_name, range));
    if (ranges.size() < kRangesAtATime) break;
    at = ranges.back().offset + ranges.back().length;
  }
  return {};
}

Result<> check_bitmaps(block::ImageNode& source, bool skip_broken) {
  auto* from = block::facet<block::BitmapStore>(source);
  if (from == nullptr || !from->keeps_bitmaps())
    return fail(ErrorKind::Unsupported, "Source lacks bitmap support");
  for (const block::BitmapInfo& bitmap : from->list_bitmaps()) {
    if (bitmap.in_use && !skip_broken)
      return failf(ErrorKind::Invalid,
                   "Cannot copy inconsistent bitmap '{}'\nTry --skip-broken-bitmaps, or use 'qemu-img bitmap "
                   "--remove' to delete it",
                   bitmap.name);
  }
  return {};
}

Result<> copy_bitmaps(block::ImageNode& source, block::ImageNode& target) {
  auto* from = block::facet<block::BitmapStore>(source);
  auto* to = block::facet<block::BitmapStore>(target);
  for (const block::BitmapInfo& bitmap : from->list_bitmaps()) {
    if (bitmap.in_use) {
      warn_line(fmt::format("Skipping inconsistent bitmap '{}'", bitmap.name));
      continue;
    }
    TRY_IN(to->add_bitmap(bitmap.name, bitmap.granularity, bitmap.recording),
           fmt::format("Failed to create bitmap {}", bitmap.name));
    TRY_IN(merge_bitmap(source, bitmap.name, target, bitmap.name),
           fmt::format("Failed to populate bitmap {}", bitmap.name));
  }
  return {};
}

Result<int> run_bitmap(Words words) {
  Request r;
  const std::vector<Option> options = {
      help_option(),
      text_option('b', "source-file", r.source_file),
      text_option('F', "source-format", r.source_format),
      format_option(r.image),
      {'g', "granularity", true,
       [&r](const std::string& value) -> Result<> {
         const auto size = parse_size(value);
         if (!size || *size == 0) return not_a_size("granularity");
         r.granularity = *size;
         return {};
       }},
      image_opts_option(r.image),
      object_option(),
      action_option(r, "add"),
      action_option(r, "remove"),
      action_option(r, "clear"),
      action_option(r, "enable"),
      action_option(r, "disable"),
      action_option(r, "merge", true),
  };
  const auto names = TRY(parse_arguments(words, options));
  TRY(check_request(r, names));
  block::OpenFlags flags;
  flags.writable = true;
  flags.no_backing = true;
  const auto image = TRY(open_named(names[0], r.image, flags, "writeback"));
  std::unique_ptr<block::ImageNode> source;
  if (!r.source_file.empty()) {
    ImageArguments arguments;
    arguments.format = r.source_format;
    block::OpenFlags look;
    look.no_backing = true;
    source = TRY(open_named(r.source_file, arguments, look, "writeback"));
  }
  Result<> done;
  for (const Action& action : r.actions) {
    done = act(r, action, *image, source ? *source : *image, names[1]);
    if (!done) {
      done = failf(done.error().kind(), "Operation {} on bitmap {} failed: {}", action.name, names[1],
                   done.error().message());
      break;
    }
  }
  // What was done before a failure stays.
  TRY(image->close());
  if (!done) return std::unexpected(done.error());
  return 0;
}

}  // namespace rhea::img
