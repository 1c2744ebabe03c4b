// Reading byte ranges of a URL with libcurl (Debian's libcurl4), which is loaded when the first such image is
// opened. Only http and https, also where a server sends us elsewhere. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace rhea::block {

struct UrlSettings {
  std::string url;
  std::string cookie;
  std::string username;
  std::string password;
  std::string proxy_username;
  std::string proxy_password;
  bool verify = true;        // certificates
  long timeout_seconds = 5;  // to connect, and without a byte
};

class UrlReader {
 public:
  // Asks the server for the size; it must know byte ranges.
  static Result<std::unique_ptr<UrlReader>> open(UrlSettings settings);
  ~UrlReader();

  uint64_t size() const { return size_; }
  // All within the size.
  Result<> read(uint64_t offset, std::span<uint8_t> into);

 private:
  explicit UrlReader(UrlSettings settings) : settings_(std::move(settings)) {}
  struct Answer;
  Result<void*> take_handle();
  void give_handle(void* handle);
  Result<> get(const std::string& range, Answer& answer);

  UrlSettings settings_;
  uint64_t size_ = 0;
  std::mutex mutex_;
  std::vector<void*> idle_;  // connections that stay open, as many as threads ever read at once
};

}  // namespace rhea::block
