// compare: do two images read the same.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/failf.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/progress.h"

namespace rhea::img {
namespace {

constexpr uint64_t kPiece = 128 * 1024;  // two of them stay in a processor's cache
constexpr uint64_t kSector = 512;
constexpr int kFailure = 2;

struct Differences {
  uint64_t first = UINT64_MAX;         // offset of the first sector that differs
  uint64_t first_status = UINT64_MAX;  // strict: offset of the first other allocation
};

// Threads take pieces in order; the lowest difference counts.
class Comparison {
 public:
  Comparison(block::ImageNode& a, block::ImageNode& b, bool strict, Progress& progress)
      : a_(a),
        b_(b),
        side_a_{a},
        side_b_{b},
        strict_(strict),
        progress_(progress),
        total_(std::max(a.size(), b.size())) {}

  Result<Differences> run() {
    std::thread other([this] { work(); });
    work();
    other.join();
    if (error_) return std::unexpected(*error_);
    return found_;
  }

 private:
  struct Part {
    uint64_t offset = 0;
    uint64_t length = 0;
    bool zero_a = false;
    bool zero_b = false;
  };

  // What an image has at an offset. Files are slow to tell how far their data goes: they are asked once an
  // extent.
  struct Side {
    block::ImageNode& node;
    block::Extent extent{};
    uint64_t begin = 0;

    Result<block::Extent> at(uint64_t offset, uint64_t length) {
      if (offset >= begin + extent.length) {
        extent = {.length = length, .allocated = false, .zero = true};
        if (offset < node.size())
          extent = TRY(block::chain_extent(node, offset, node.size() - offset)).extent;
        begin = offset;
      }
      block::Extent out = extent;
      out.length = std::min(length, begin + extent.length - offset);
      return out;
    }
  };

  Result<std::optional<Part>> next() {
    const std::lock_guard lock(mutex_);
    const uint64_t stop = std::min(found_.first, found_.first_status);
    if (error_ || position_ >= total_ || position_ > stop) return std::nullopt;
    const auto a = TRY(side_a_.at(position_, total_ - position_));
    const auto b = TRY(side_b_.at(position_, a.length));
    Part out{.offset = position_, .length = b.length, .zero_a = a.zero, .zero_b = b.zero};
    if (strict_ && position_ < std::min(a_.size(), b_.size())) {
      const auto flags = [](const block::Extent& e) {
        return (e.data ? 1 : 0) | (e.zero ? 2 : 0) | (e.allocated ? 4 : 0) | (e.file != nullptr ? 8 : 0);
      };
      if (flags(a) != flags(b)) {
        found_.first_status = position_;
        return std::nullopt;
      }
    }
    if (!a.zero || !b.zero) out.length = std::min(out.length, kPiece);
    position_ += out.length;
    progress_.report(position_, total_);
    return out;
  }

  static Result<> read(block::ImageNode& node, uint64_t offset, std::span<uint8_t> into) {
    const uint64_t present = offset < node.size() ? std::min<uint64_t>(into.size(), node.size() - offset) : 0;
    TRY(node.read(offset, into.first(present)));
    std::fill(into.begin() + static_cast<std::ptrdiff_t>(present), into.end(), uint8_t{0});
    return {};
  }

  static uint64_t first_difference(std::span<const uint8_t> a, std::span<const uint8_t> b) {
    for (size_t at = 0; at < a.size(); at += kSector) {
      if (std::memcmp(a.data() + at, b.data() + at, std::min<size_t>(kSector, a.size() - at)) != 0) return at;
    }
    return UINT64_MAX;
  }

  Result<> compare(const Part& part, std::vector<uint8_t>& a, std::vector<uint8_t>& b) {
    if (part.zero_a && part.zero_b) return {};
    const auto in_a = std::span(a).first(part.length);
    const auto in_b = std::span(b).first(part.length);
    if (part.zero_a) {
      std::ranges::fill(in_a, uint8_t{0});
    } else {
      TRY(read(a_, part.offset, in_a));
    }
    if (part.zero_b) {
      if (block::is_zero(in_a)) return {};
      std::ranges::fill(in_b, uint8_t{0});
    } else {
      TRY(read(b_, part.offset, in_b));
    }
    if (std::memcmp(in_a.data(), in_b.data(), in_a.size()) == 0) return {};
    const std::lock_guard lock(mutex_);
    found_.first = std::min(found_.first, part.offset + first_difference(in_a, in_b));
    return {};
  }

  void work() {
    std::vector<uint8_t> a(kPiece);
    std::vector<uint8_t> b(kPiece);
    while (true) {
      auto part = next();
      auto done = part && *part ? compare(**part, a, b) : Result<>();
      if (!part || !done) {
        const std::lock_guard lock(mutex_);
        error_ = part ? done.error() : part.error();
        return;
      }
      if (!*part) return;
    }
  }

  block::ImageNode& a_;
  block::ImageNode& b_;
  Side side_a_;
  Side side_b_;
  const bool strict_;
  Progress& progress_;
  const uint64_t total_;
  std::mutex mutex_;  // of all that follows, and of the sides
  uint64_t position_ = 0;
  Differences found_;
  std::optional<Error> error_;
};

}  // namespace

Result<int> run_compare(Words words) {
  ImageArguments first;
  first.cache_name = "source cache";
  std::string second_format;
  bool quiet = false;
  bool strict = false;
  bool progress_asked = false;
  const std::vector<Option> options = {help_option(),
                                       format_option(first),
                                       text_option('F', "", second_format),
                                       cache_option('T', first.cache),
                                       flag_option('p', "", progress_asked),
                                       flag_option('q', "quiet", quiet),
                                       flag_option('s', "", strict),
                                       force_share_option(first),
                                       image_opts_option(first),
                                       object_option()};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 2) return usage("Expecting two image file names");
  TRY(check_image_arguments(first));
  ImageArguments second = first;
  second.format = second_format;
  const auto a = TRY(open_named(names[0], first, {}, "writeback"));
  const auto b = TRY(open_named(names[1], second, {}, "writeback"));
  const auto say = [quiet](std::string_view text) {
    if (!quiet) print(text);
  };
  const bool other_size = a->size() != b->size();
  if (strict && other_size) {
    say("Strict mode: Image size mismatch!\n");
    return 1;
  }
  Progress progress(progress_asked, quiet);
  const Differences found = TRY(Comparison(*a, *b, strict, progress).run());
  const uint64_t smaller = std::min(a->size(), b->size());
  const bool before_the_end = std::min(found.first, found.first_status) < smaller;
  if (other_size && !before_the_end) say("Warning: Image size mismatch!\n");
  if (found.first_status != UINT64_MAX && found.first_status <= found.first) {
    say(fmt::format("Strict mode: Offset {} block status mismatch!\n", found.first_status));
    return 1;
  }
  if (found.first != UINT64_MAX) {
    say(fmt::format("Content mismatch at offset {}!\n", found.first));
    return 1;
  }
  say("Images are identical.\n");
  progress.finish();
  return 0;
}

}  // namespace rhea::img
