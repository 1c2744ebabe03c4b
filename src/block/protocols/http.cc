#include "block/protocols/http.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "base/checked.h"
#include "base/failf.h"
#include "base/sizes.h"
#include "block/protocols/curl_library.h"
#include "block/secrets.h"
#include "config/schema.h"

namespace rhea::block {
namespace {

constexpr uint64_t kDefaultReadahead = 256 << 10;
constexpr uint64_t kLargestReadahead = 64 << 20;
constexpr size_t kKeptPieces = 16;
constexpr uint64_t kMostSeconds = 10000;

class HttpNode final : public ProtocolNode {
 public:
  HttpNode(std::string url, std::unique_ptr<UrlReader> reader, uint64_t readahead)
      : url_(std::move(url)), reader_(std::move(reader)), readahead_(readahead) {}

  uint64_t size() const override { return reader_->size(); }

  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    const uint64_t inside = offset < size() ? std::min<uint64_t>(into.size(), size() - offset) : 0;
    std::ranges::fill(into.subspan(static_cast<size_t>(inside)), uint8_t{0});
    into = into.first(static_cast<size_t>(inside));
    if (into.size() >= readahead_) return reader_->read(offset, into);
    while (!into.empty()) {
      const uint64_t begin = offset / readahead_ * readahead_;
      const auto piece = TRY(piece_at(begin));
      const size_t from = static_cast<size_t>(offset - begin);
      const size_t count = std::min(into.size(), piece->size() - from);
      std::memcpy(into.data(), piece->data() + from, count);
      into = into.subspan(count);
      offset += count;
    }
    return {};
  }
  Result<> write(uint64_t, std::span<const uint8_t>) override { return read_only(); }
  Result<> write_zeroes(uint64_t, uint64_t, ZeroMode) override { return read_only(); }
  Result<> discard(uint64_t, uint64_t) override { return {}; }
  Result<> flush() override { return {}; }
  Result<Extent> extent(uint64_t offset, uint64_t length) override {
    return Extent{.length = length, .allocated = true, .data = true, .file = this, .file_offset = offset};
  }
  Result<> resize(uint64_t, Preallocation) override { return read_only(); }
  const std::string& filename() const override { return url_; }
  std::optional<uint64_t> allocated_bytes() const override { return std::nullopt; }

 private:
  using Piece = std::shared_ptr<const std::vector<uint8_t>>;

  static Result<> read_only() { return fail(ErrorKind::Permission, "Image is read-only"); }

  // `begin` lies inside of the file.
  Result<Piece> piece_at(uint64_t begin) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find(kept_, begin, &std::pair<uint64_t, Piece>::first);
      if (found != kept_.end()) return found->second;
    }
    auto bytes = std::make_shared<std::vector<uint8_t>>(std::min(readahead_, size() - begin));
    TRY(reader_->read(begin, *bytes));
    const std::lock_guard lock(mutex_);
    kept_.emplace_front(begin, bytes);
    if (kept_.size() > kKeptPieces) kept_.pop_back();
    return bytes;
  }

  const std::string url_;
  const std::unique_ptr<UrlReader> reader_;
  const uint64_t readahead_;
  std::mutex mutex_;
  std::deque<std::pair<uint64_t, Piece>> kept_;
};

Result<> take_secret(config::KeyValues& options, const char* key, std::string& into) {
  if (const auto id = config::take(options, key)) into = TRY(password_of(*id));
  return {};
}

}  // namespace

Result<std::unique_ptr<ProtocolNode>> open_http(const std::string& filename, config::KeyValues& options,
                                                const OpenFlags& flags) {
  UrlSettings settings;
  settings.url = config::take(options, "url").value_or(filename);
  if (!settings.url.starts_with("http://") && !settings.url.starts_with("https://"))
    return fail(ErrorKind::Invalid, "http block driver requires an 'url' option");
  settings.cookie = config::take(options, "cookie").value_or("");
  settings.username = config::take(options, "username").value_or("");
  settings.proxy_username = config::take(options, "proxy-username").value_or("");
  TRY(take_secret(options, "cookie-secret", settings.cookie));
  TRY(take_secret(options, "password-secret", settings.password));
  TRY(take_secret(options, "proxy-password-secret", settings.proxy_password));
  settings.verify =
      TRY_IN(config::parse_bool(config::take(options, "sslverify").value_or("on")), "sslverify");
  if (const auto seconds = config::take(options, "timeout"))
    settings.timeout_seconds =
        static_cast<long>(TRY_IN(config::parse_unsigned(*seconds, 1, kMostSeconds), "timeout"));
  uint64_t readahead = kDefaultReadahead;
  if (const auto text = config::take(options, "readahead")) readahead = TRY(parse_size(*text));
  if (readahead == 0 || readahead > kLargestReadahead || !is_aligned(readahead, 512))
    return failf(ErrorKind::Invalid, "HTTP_READAHEAD_SIZE {} is not a multiple of 512 up to 64M", readahead);
  if (flags.writable) return fail(ErrorKind::Permission, "http images can only be read");
  auto reader = TRY(UrlReader::open(settings));
  return std::make_unique<HttpNode>(settings.url, std::move(reader), readahead);
}

}  // namespace rhea::block
