// commit: writes what an image holds into (one of) the images behind it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/failf.h"
#include "base/sizes.h"
#include "block/facets.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/progress.h"

namespace rhea::img {
namespace {

constexpr uint64_t kPiece = uint64_t{1} << 20;

struct Request {
  ImageArguments image;
  std::string base;
  uint64_t rate_limit = 0;
  bool drop = false;  // -d: leave the image as it is
  bool quiet = false;
  bool progress = false;
};

// The images above the base, each open without what backs it, linked; the base is writable and backs the
// last.
struct Chain {
  std::unique_ptr<block::ImageNode> top;
  block::ImageNode* base = nullptr;
  bool base_is_next = true;
};

Result<Chain> open_chain(const Request& r, const std::string& filename) {
  Chain chain;
  block::OpenFlags flags;
  flags.writable = true;
  {
    // As a whole, to see that it is sound and to find the base by its name.
    block::OpenFlags look;
    look.force_share = true;
    ImageArguments arguments = r.image;
    arguments.force_share = true;
    const auto whole = TRY(open_named(filename, arguments, look, "writeback", true));
    if (whole->backing() == nullptr) return fail(ErrorKind::Invalid, "Image does not have a backing file");
    bool found = r.base.empty();
    for (const block::ImageNode* node = whole->backing(); node != nullptr && !found; node = node->backing())
      found = node->filename() == r.base || node->filename() == block::backing_path(filename, r.base);
    if (!found)
      return failf(ErrorKind::NotFound, "Did not find '{}' in the backing chain of '{}'", r.base, filename);
  }
  flags.no_backing = true;
  chain.top = TRY(open_named(filename, r.image, flags, "writeback", r.quiet));
  block::ImageNode* above = chain.top.get();
  while (chain.base == nullptr) {
    const block::BackingReference reference = above->backing_reference();
    block::ImageName name;
    name.filename = block::backing_path(above->filename(), reference.file);
    name.format = reference.format;
    const bool is_base =
        r.base.empty() || name.filename == r.base || name.filename == block::backing_path(filename, r.base);
    block::OpenFlags below;
    below.writable = is_base;
    below.no_backing = !is_base;  // what is behind the base stays as it is
    below.exclusive_resize = is_base;
    auto node = TRY_IN(block::open_image(name, below), fmt::format("Could not open '{}'", name.filename));
    block::ImageNode* raw = node.get();
    above->set_backing(std::move(node));
    if (is_base) chain.base = raw;
    chain.base_is_next = above == chain.top.get();
    above = raw;
  }
  return chain;
}

Result<> copy_down(const Request& r, Chain& chain, const std::atomic<bool>& cancel) {
  block::ImageNode& top = *chain.top;
  block::ImageNode& base = *chain.base;
  if (top.size() > base.size()) TRY(base.resize(top.size(), block::Preallocation::Off));
  Progress progress(r.progress, r.quiet);
  std::vector<uint8_t> buffer(kPiece);
  const auto begun = std::chrono::steady_clock::now();
  uint64_t copied = 0;
  for (uint64_t at = 0; at < top.size();) {
    if (cancel.load()) return fail(ErrorKind::Cancelled, "interrupted");
    const block::Extent there = TRY(block::chain_extent(top, at, top.size() - at, &base)).extent;
    uint64_t length = there.length;
    if (there.allocated && there.zero) {
      TRY(base.write_zeroes(at, length, block::ZeroMode::MayUnmap));
    } else if (there.allocated) {
      length = std::min(length, kPiece);
      const auto part = std::span(buffer).first(length);
      TRY(top.read(at, part));
      TRY(base.write(at, part));
      copied += length;
    }
    at += length;
    progress.report(at, top.size());
    if (r.rate_limit != 0) {
      const std::chrono::duration<double> due(static_cast<double>(copied) /
                                              static_cast<double>(r.rate_limit));
      std::this_thread::sleep_until(begun + std::chrono::duration_cast<std::chrono::nanoseconds>(due));
    }
  }
  TRY(base.close());
  progress.finish();
  return {};
}

}  // namespace

Result<int> run_commit(Words words) {
  Request r;
  const std::vector<Option> options = {help_option(),
                                       format_option(r.image),
                                       text_option('b', "", r.base),
                                       flag_option('d', "", r.drop),
                                       flag_option('p', "", r.progress),
                                       flag_option('q', "quiet", r.quiet),
                                       cache_option('t', r.image.cache),
                                       image_opts_option(r.image),
                                       object_option(),
                                       {'r', "", true, [&r](const std::string& value) -> Result<> {
                                          const auto rate = parse_size(value);
                                          if (!rate) return not_a_size("rate limit");
                                          r.rate_limit = *rate;
                                          return {};
                                        }}};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  TRY(check_image_arguments(r.image));
  const std::atomic<bool>& cancel = watch_interrupts();
  Chain chain = TRY(open_chain(r, names[0]));
  const auto done = copy_down(r, chain, cancel);
  if (!done && done.error().kind() == ErrorKind::Cancelled) die_interrupted();
  if (!done) return std::unexpected(done.error());
  auto* emptier = block::facet<block::Emptier>(*chain.top);
  // An image between this one and the base would show through.
  if (!r.drop && chain.base_is_next && emptier != nullptr) TRY(emptier->make_empty());
  TRY(chain.top->close());
  if (!r.quiet) print("Image committed.\n");
  return 0;
}

}  // namespace rhea::img
