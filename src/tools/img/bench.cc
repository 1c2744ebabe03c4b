// bench: reads or writes an image with a number of requests in flight and says how long it took. A thread is
// a request in flight; with a flush interval the requests wait for the flush, unless --no-drain.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "config/schema.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

struct Request {
  ImageArguments image;
  uint64_t count = 75000;
  uint64_t depth = 64;
  uint64_t offset = 0;
  uint64_t buffer_size = 4096;
  uint64_t step = 0;
  uint64_t flush_interval = 0;
  uint64_t pattern = 0;
  bool write = false;
  bool quiet = false;
  bool no_drain = false;
  block::FileEngine engine = block::FileEngine::Threads;
};

Option number_option(char letter, const char* name, uint64_t& into, const char* what, uint64_t least,
                     uint64_t most) {
  return {letter, name, true, [&into, what, least, most](const std::string& text) -> Result<> {
            const auto value = config::parse_unsigned(text, least, most);
            if (!value) return failf(ErrorKind::Invalid, "Invalid {} specified", what);
            into = *value;
            return {};
          }};
}

Option size_option(char letter, uint64_t& into, const char* what, uint64_t most) {
  return {letter, "", true, [&into, what, most](const std::string& text) -> Result<> {
            const auto value = parse_size(text);
            if (!value && value.error().kind() != ErrorKind::OutOfRange) return not_a_size(what);
            if (!value || *value > most)
              return failf(ErrorKind::Invalid, "Invalid {} specified. Must be between 0 and {}.", what, most);
            into = *value;
            return {};
          }};
}

Result<> set_engine(Request& r, const std::string& word) {
  const auto engine = block::parse_file_engine(word);
  if (!engine) return failf(ErrorKind::Invalid, "Invalid aio option: {}", word);
  r.engine = *engine;
  return {};
}

std::vector<Option> option_table(Request& r) {
  return {
      help_option(),
      number_option('c', "", r.count, "request count", 0, INT32_MAX),
      number_option('d', "", r.depth, "queue depth", 1, 1024),
      format_option(r.image),
      {'i', "", true, [&r](const std::string& word) { return set_engine(r, word); }},
      {'n', "", false, [&r](const std::string&) { return set_engine(r, "native"); }},
      size_option('o', r.offset, "offset", INT64_MAX),
      flag_option('q', "", r.quiet),
      size_option('s', r.buffer_size, "buffer size", INT32_MAX),
      size_option('S', r.step, "step_size", INT32_MAX),
      cache_option('t', r.image.cache),
      flag_option('w', "", r.write),
      force_share_option(r.image),
      image_opts_option(r.image),
      object_option(),
      number_option(0, "pattern", r.pattern, "pattern byte", 0, 0xff),
      number_option(0, "flush-interval", r.flush_interval, "flush interval", 0, INT32_MAX),
      flag_option(0, "no-drain", r.no_drain),
  };
}

class Bench {
 public:
  Bench(const Request& r, block::ImageNode& image) : r_(r), image_(image) {}

  Result<> run() {
    std::vector<std::jthread> threads;
    const uint64_t count = std::min(r_.depth, r_.count);
    for (uint64_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    threads.clear();
    return error_ ? Result<>(std::unexpected(*error_)) : Result<>{};
  }

 private:
  void work() {
    std::vector<uint8_t> buffer(static_cast<size_t>(r_.buffer_size), static_cast<uint8_t>(r_.pattern));
    uint64_t number = 0;
    while (next(number)) {
      const uint64_t at = place(number);
      const auto done = r_.write ? image_.write(at, buffer) : image_.read(at, buffer);
      finish(done);
    }
  }

  // Requests go round in the image.
  uint64_t place(uint64_t number) const {
    const uint64_t room = image_.size() - std::min(image_.size(), r_.offset);
    if (room <= r_.buffer_size || r_.step == 0) return r_.offset;
    return r_.offset + number * r_.step % (room - r_.buffer_size + 1);
  }

  bool next(uint64_t& number) {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [this] { return !flushing_; });
    if (error_ || next_ == r_.count) return false;
    number = next_++;
    ++running_;
    if (r_.flush_interval == 0 || next_ % r_.flush_interval != 0) return true;
    flush_due_ = true;
    if (!r_.no_drain) flushing_ = true;
    return true;
  }

  void finish(const Result<>& done) {
    std::unique_lock lock(mutex_);
    --running_;
    if (!done && !error_) error_ = done.error();
    if (flush_due_ && (r_.no_drain || running_ == 0)) {
      flush_due_ = false;
      lock.unlock();
      const auto flushed = image_.flush();
      lock.lock();
      if (!flushed && !error_) error_ = flushed.error();
      flushing_ = false;
    }
    turn_.notify_all();
  }

  const Request& r_;
  block::ImageNode& image_;
  std::mutex mutex_;
  std::condition_variable turn_;
  uint64_t next_ = 0;
  uint64_t running_ = 0;
  bool flush_due_ = false;
  bool flushing_ = false;
  std::optional<Error> error_;
};

Result<> check_request(Request& r) {
  TRY(check_image_arguments(r.image));
  if (r.flush_interval != 0 && !r.write)
    return fail(ErrorKind::Invalid, "--flush-interval is only available in write tests");
  if (r.flush_interval != 0 && r.flush_interval < r.depth)
    return fail(ErrorKind::Invalid, "Flush interval can't be smaller than depth");
  if (!r.image.cache.empty() && !block::parse_cache_mode(r.image.cache))
    return fail(ErrorKind::Invalid, "Invalid cache mode");
  if (r.step == 0) r.step = r.buffer_size;
  return {};
}

}  // namespace

Result<int> run_bench(Words words) {
  Request r;
  const auto names = TRY(parse_arguments(words, option_table(r)));
  if (names.size() != 1) return usage("Expecting one image file name");
  TRY(check_request(r));
  const bool direct = r.image.cache == "none" || r.image.cache == "off" || r.image.cache == "directsync";
  if (r.engine == block::FileEngine::Native && !direct)
    return failf(ErrorKind::Invalid,
                 "Could not open '{}': aio=native was specified, but it requires cache.direct=on, which was "
                 "not specified.",
                 names[0]);
  if (r.write && r.image.force_share)
    return failf(ErrorKind::Invalid,
                 "Could not open '{}': force-share=on can only be used with read-only images", names[0]);
  block::OpenFlags flags;
  flags.writable = r.write;
  flags.engine = r.engine;
  const auto image = TRY(open_named(names[0], r.image, flags, "writeback", r.quiet));
  print(fmt::format(
      "Sending {} {} requests, {} bytes each, {} in parallel (starting at offset {}, step size {})\n",
      r.count, r.write ? "write" : "read", r.buffer_size, r.depth, r.offset, r.step));
  if (r.flush_interval != 0) print(fmt::format("Sending flush every {} requests\n", r.flush_interval));
  std::fflush(stdout);
  const auto begin = std::chrono::steady_clock::now();
  const auto done = Bench(r, *image).run();
  const auto end = std::chrono::steady_clock::now();
  if (!done) return failf(done.error().kind(), "Failed request: {}", done.error().message());
  TRY(image->close());
  print(
      fmt::format("Run completed in {:3.3f} seconds.\n", std::chrono::duration<double>(end - begin).count()));
  return 0;
}

}  // namespace rhea::img
