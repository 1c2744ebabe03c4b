// rebase: another backing image. What the old one showed and the new one does not is copied into the image
// first.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/failf.h"
#include "block/facets.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/progress.h"

namespace rhea::img {
namespace {

constexpr uint64_t kPiece = uint64_t{2} << 20;
constexpr uint64_t kGrain = 4096;

struct Request {
  ImageArguments image;
  std::string source_cache;
  std::optional<std::string> backing_file;
  std::string backing_format;
  bool unsafe = false;
  bool quiet = false;
  bool progress = false;
};

Result<> read_or_zero(block::ImageNode* node, uint64_t offset, std::span<uint8_t> into) {
  const uint64_t size = node == nullptr ? 0 : node->size();
  const auto present =
      static_cast<size_t>(offset < size ? std::min<uint64_t>(into.size(), size - offset) : 0);
  if (present != 0) TRY(node->read(offset, into.first(present)));
  std::ranges::fill(into.subspan(present), uint8_t{0});
  return {};
}

// Writes what differs, in runs. Whole units of zeros are marked, where the format can.
Result<> copy_differences(block::ImageNode& image, uint64_t offset, std::span<const uint8_t> wanted,
                          std::span<const uint8_t> shown) {
  enum class Kind { Same, Zeros, Data };
  struct Step {
    Kind kind;
    size_t length;
  };
  auto& changer = *block::facet<block::BackingChanger>(image);
  const uint64_t unit = changer.zero_mark_unit();
  const auto grain = static_cast<size_t>(unit == 0 ? kGrain : std::min(kGrain, unit));
  const bool at_end = offset + wanted.size() == image.size();
  const auto step_at = [&](size_t at) -> Step {
    const size_t rest = wanted.size() - at;
    const auto same = [&](size_t length) {
      return std::memcmp(wanted.data() + at, shown.data() + at, length) == 0 ? Kind::Same : Kind::Data;
    };
    if (unit != 0 && (offset + at) % unit == 0 && (rest >= unit || at_end)) {
      const auto length = static_cast<size_t>(std::min<uint64_t>(rest, unit));
      if (block::is_zero(wanted.subspan(at, length)))
        return {same(length) == Kind::Same ? Kind::Same : Kind::Zeros, length};
    }
    return {same(std::min(rest, grain)), std::min(rest, grain)};
  };
  for (size_t at = 0; at < wanted.size();) {
    const size_t begin = at;
    const Kind kind = step_at(at).kind;
    for (Step step = step_at(at); step.kind == kind; step = step_at(at)) {
      at += step.length;
      if (at == wanted.size()) break;
    }
    if (kind == Kind::Zeros) TRY(changer.mark_zero(offset + begin, at - begin));
    if (kind == Kind::Data) TRY(image.write(offset + begin, wanted.subspan(begin, at - begin)));
  }
  return {};
}

// How many bytes from `at` on are zeros without a look at them.
Result<uint64_t> known_zeros(block::ImageNode* node, uint64_t at, uint64_t length) {
  if (node == nullptr || at >= node->size()) return length;
  const auto there = TRY(block::chain_extent(*node, at, std::min(length, node->size() - at))).extent;
  return there.zero ? there.length : 0;
}

Result<> copy_old_backing(block::ImageNode& image, block::ImageNode* fresh, Progress& progress) {
  std::vector<uint8_t> wanted(kPiece);
  std::vector<uint8_t> shown(kPiece);
  const uint64_t unit = std::max<uint64_t>(1, block::facet<block::BackingChanger>(image)->zero_mark_unit());
  for (uint64_t at = 0; at < image.size();) {
    const block::Extent there = TRY(image.extent(at, image.size() - at));
    uint64_t length = there.length;
    const uint64_t zeros = there.allocated ? 0 : TRY(known_zeros(image.backing(), at, length));
    uint64_t skip = zeros == 0 ? 0 : TRY(known_zeros(fresh, at, zeros));
    // What is left begins with a whole unit.
    if (skip != 0 && at + skip != image.size()) skip = std::max(at, align_down(at + skip, unit)) - at;
    if (skip != 0) {
      length = skip;
    } else if (!there.allocated) {
      // Up to the next multiple, so that units that can be marked stay whole.
      length = std::min(length, kPiece - at % kPiece);
      const auto old_part = std::span(wanted).first(static_cast<size_t>(length));
      const auto new_part = std::span(shown).first(static_cast<size_t>(length));
      TRY_IN(read_or_zero(image.backing(), at, old_part), "error while reading from old backing file");
      TRY_IN(read_or_zero(fresh, at, new_part), "error while reading from new backing file");
      TRY_IN(copy_differences(image, at, old_part, new_part), "Error while writing to COW image");
    }
    at += length;
    progress.report(at, image.size());
  }
  return image.flush();
}

Result<> rebase(const Request& r, block::ImageNode& image) {
  auto* changer = block::facet<block::BackingChanger>(image);
  const std::string file = r.backing_file.value_or("");
  Progress progress(r.progress, r.quiet);
  if (!r.unsafe) {
    std::unique_ptr<block::ImageNode> fresh;
    if (!file.empty()) {
      block::ImageName name;
      name.filename = block::backing_path(image.filename(), file);
      name.format = r.backing_format;
      block::OpenFlags flags;
      flags.force_share = r.image.force_share;
      flags.cache = TRY(cache_mode(r.source_cache.empty() ? "writeback" : r.source_cache, "source cache"));
      fresh =
          TRY_IN(block::open_image(name, flags), fmt::format("Could not open new backing file '{}'", file));
    }
    if (changer != nullptr) TRY(copy_old_backing(image, fresh.get(), progress));
  }
  if (changer == nullptr)
    return failf(ErrorKind::Unsupported, "Could not change the backing file to '{}': Operation not supported",
                 file);
  const auto changed = changer->change_backing({file, file.empty() ? "" : r.backing_format});
  if (!changed)
    return failf(changed.error().kind(), "Could not change the backing file to '{}': {}", file,
                 changed.error().message());
  TRY(image.close());
  progress.finish();
  return {};
}

}  // namespace

Result<int> run_rebase(Words words) {
  Request r;
  const std::vector<Option> options = {help_option(),
                                       format_option(r.image),
                                       {'b', "", true,
                                        [&r](const std::string& value) -> Result<> {
                                          r.backing_file = value;
                                          return {};
                                        }},
                                       text_option('F', "", r.backing_format),
                                       flag_option('u', "", r.unsafe),
                                       flag_option('p', "", r.progress),
                                       flag_option('q', "quiet", r.quiet),
                                       cache_option('t', r.image.cache),
                                       cache_option('T', r.source_cache),
                                       force_share_option(r.image),
                                       image_opts_option(r.image),
                                       object_option()};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  if (!r.unsafe && !r.backing_file) return usage("Must specify backing file (-b) or use unsafe mode (-u)");
  TRY(check_image_arguments(r.image));
  if (!r.backing_format.empty() && block::find_format(r.backing_format) == nullptr)
    return failf(ErrorKind::Unsupported, "Invalid format name: '{}'", r.backing_format);
  block::OpenFlags flags;
  flags.writable = true;
  flags.no_backing = r.unsafe;
  const auto image = TRY(open_named(names[0], r.image, flags, "writeback", r.quiet));
  if (r.backing_format.empty() && r.backing_file && !r.backing_file->empty() &&
      block::facet<block::BackingChanger>(*image) != nullptr)
    return failf(ErrorKind::Invalid,
                 "Could not change the backing file to '{}': backing format must be specified",
                 *r.backing_file);
  TRY(rebase(r, *image));
  return 0;
}

}  // namespace rhea::img
