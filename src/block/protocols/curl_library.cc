#include "block/protocols/curl_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/failf.h"

namespace rhea::block {
namespace {

// Options and facts, by the numbers of curl/curl.h that are part of the library's binary interface.
constexpr int kLowSpeedLimit = 19;
constexpr int kLowSpeedTime = 20;
constexpr int kFollowLocation = 52;
constexpr int kSslVerifyPeer = 64;
constexpr int kConnectTimeout = 78;
constexpr int kSslVerifyHost = 81;
constexpr int kNoSignal = 99;
constexpr int kWriteData = 10001;
constexpr int kUrl = 10002;
constexpr int kRange = 10007;
constexpr int kErrorBuffer = 10010;
constexpr int kCookie = 10022;
constexpr int kHeaderData = 10029;
constexpr int kUsername = 10173;
constexpr int kPassword = 10174;
constexpr int kProxyUsername = 10175;
constexpr int kProxyPassword = 10176;
constexpr int kProtocols = 10318;
constexpr int kRedirectProtocols = 10319;
constexpr int kWriteFunction = 20011;
constexpr int kHeaderFunction = 20079;
constexpr int kResponseCode = 0x200002;
constexpr long kGlobalAll = 3;
constexpr size_t kErrorBytes = 256;

struct Functions {
  int (*global_init)(long);
  void* (*init)();
  void (*cleanup)(void*);
  int (*set)(void*, int, ...);
  int (*perform)(void*);
  int (*get)(void*, int, ...);
  const char* (*describe)(int);
};

template <class F>
bool find(void* library, const char* name, F& function) {
  // SAFETY: dlsym's way to give a function; the prototype is the library's documented one.
  function = reinterpret_cast<F>(::dlsym(library, name));
  return function != nullptr;
}

Result<Functions> load() {
  void* library = nullptr;
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr)
    return failf(ErrorKind::Unsupported, "http and https need libcurl (package libcurl4): {}", ::dlerror());
  Functions f{};
  const bool complete =
      find(library, "curl_global_init", f.global_init) && find(library, "curl_easy_init", f.init) &&
      find(library, "curl_easy_cleanup", f.cleanup) && find(library, "curl_easy_setopt", f.set) &&
      find(library, "curl_easy_perform", f.perform) && find(library, "curl_easy_getinfo", f.get) &&
      find(library, "curl_easy_strerror", f.describe);
  if (!complete || f.global_init(kGlobalAll) != 0)
    return fail(ErrorKind::Unsupported, "libcurl cannot be used: it lacks a function that is needed");
  return f;
}

Result<const Functions*> functions() {
  static const Result<Functions> loaded = load();
  if (!loaded) return std::unexpected(loaded.error());
  return &*loaded;
}

}  // namespace

struct UrlReader::Answer {
  std::span<uint8_t> into;
  size_t got = 0;
  long code = 0;
  std::string content_range;  // "bytes 0-0/1000"

  // Called by the library with a part of the content; another count than what it gave ends the transfer.
  static size_t write(const char* data, size_t, size_t count, void* self) {
    auto& answer = *static_cast<Answer*>(self);
    if (count > answer.into.size() - answer.got) return 0;
    std::memcpy(answer.into.data() + answer.got, data, count);
    answer.got += count;
    return count;
  }
  static size_t header(const char* data, size_t, size_t count, void* self) {
    auto& answer = *static_cast<Answer*>(self);
    std::string line(data, count);
    std::ranges::transform(line, line.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    if (line.starts_with("http/")) answer.content_range.clear();  // of an answer that sends us elsewhere
    if (line.starts_with("content-range:")) answer.content_range = line.substr(14);
    return count;
  }
};

UrlReader::~UrlReader() {
  if (const auto f = functions()) {
    for (void* handle : idle_) (*f)->cleanup(handle);
  }
}

Result<void*> UrlReader::take_handle() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      void* handle = idle_.back();
      idle_.pop_back();
      return handle;
    }
  }
  const Functions& f = *TRY(functions());
  void* handle = f.init();
  if (handle == nullptr) return fail(ErrorKind::Io, "libcurl gives no handle");
  const auto text = [&](int option, const std::string& value) {
    return value.empty() || f.set(handle, option, value.c_str()) == 0;
  };
  const auto number = [&](int option, long value) { return f.set(handle, option, value) == 0; };
  const bool good =
      text(kUrl, settings_.url) && text(kCookie, settings_.cookie) && text(kUsername, settings_.username) &&
      text(kPassword, settings_.password) && text(kProxyUsername, settings_.proxy_username) &&
      text(kProxyPassword, settings_.proxy_password) && text(kProtocols, "http,https") &&
      text(kRedirectProtocols, "http,https") && number(kFollowLocation, 1) && number(kNoSignal, 1) &&
      number(kSslVerifyPeer, settings_.verify ? 1 : 0) && number(kSslVerifyHost, settings_.verify ? 2 : 0) &&
      number(kConnectTimeout, settings_.timeout_seconds) && number(kLowSpeedLimit, 1) &&
      number(kLowSpeedTime, settings_.timeout_seconds) &&
      f.set(handle, kWriteFunction, &Answer::write) == 0 &&
      f.set(handle, kHeaderFunction, &Answer::header) == 0;
  if (!good) {
    f.cleanup(handle);
    return fail(ErrorKind::Unsupported, "libcurl refuses an option");
  }
  return handle;
}

void UrlReader::give_handle(void* handle) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(handle);
}

Result<> UrlReader::get(const std::string& range, Answer& answer) {
  const Functions& f = *TRY(functions());
  void* handle = TRY(take_handle());
  std::array<char, kErrorBytes> error{};
  f.set(handle, kErrorBuffer, error.data());
  f.set(handle, kRange, range.c_str());
  f.set(handle, kWriteData, &answer);
  f.set(handle, kHeaderData, &answer);
  const int done = f.perform(handle);
  f.get(handle, kResponseCode, &answer.code);
  f.set(handle, kErrorBuffer, nullptr);
  give_handle(handle);
  // The server is not to send more than was asked for: a 200 says it knows no ranges; with an error comes a
  // page.
  if (done != 0 && answer.code != 200 && answer.code < 400)
    return fail(ErrorKind::Io, error[0] != 0 ? error.data() : f.describe(done));
  return {};
}

Result<std::unique_ptr<UrlReader>> UrlReader::open(UrlSettings settings) {
  std::unique_ptr<UrlReader> out(new UrlReader(std::move(settings)));
  std::array<uint8_t, 1> first{};
  Answer answer{.into = first, .content_range = {}};
  TRY_IN(out->get("0-0", answer), "CURL: Error opening file");
  const auto refused = [](std::string text) {
    return fail(ErrorKind::Io, "CURL: Error opening file: " + std::move(text));
  };
  const size_t slash = answer.content_range.find('/');
  if (answer.code == 200) return refused("Server does not support 'range' (byte ranges).");
  if (answer.code >= 400 && answer.code != 416)
    return refused(fmt::format("The requested URL returned error: {}", answer.code));
  if ((answer.code != 206 && answer.code != 416) || slash == std::string::npos)
    return refused("Server didn't report file size.");
  const char* begin = answer.content_range.data() + slash + 1;
  const char* end = answer.content_range.data() + answer.content_range.size();
  const auto [stop, error] = std::from_chars(begin, end, out->size_);
  if (error != std::errc{} || out->size_ > static_cast<uint64_t>(INT64_MAX))
    return refused("Server didn't report file size.");
  return out;
}

Result<> UrlReader::read(uint64_t offset, std::span<uint8_t> into) {
  if (into.empty()) return {};
  Answer answer{.into = into, .content_range = {}};
  TRY(get(fmt::format("{}-{}", offset, offset + into.size() - 1), answer));
  if (answer.code != 206 || answer.got != into.size())
    return failf(ErrorKind::Io, "HTTP status {} and {} of {} bytes", answer.code, answer.got, into.size());
  return {};
}

}  // namespace rhea::block
