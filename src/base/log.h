// What Rhea says: messages for the user on stderr ("PROGRAM: warning: text") and the diagnostic log of `-d
// ITEMS`
// `-D FILE`. An item that is off costs one load and a branch. Safe from any thread; lines are written whole.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rhea {

enum class LogItem : uint32_t {
  OutAsm = 1u << 0,
  InAsm = 1u << 1,
  Int = 1u << 2,
  CpuReset = 1u << 3,
  GuestErrors = 1u << 4,
  Unimp = 1u << 5,
  Exec = 1u << 6,
};

extern std::atomic<uint32_t> log_mask;

inline bool log_on(LogItem item) {
  return (log_mask.load(std::memory_order_relaxed) & static_cast<uint32_t>(item)) != 0;
}

// "in_asm,int" switches these items on, "all" every one. An unknown item is an error that names it.
Result<> set_log_items(std::string_view list);
// The text of `-d help`.
std::string log_items_help();
// Opens the file that the log goes to instead of stderr; "%d" in the name is the process id.
Result<> set_log_file(std::string_view path);

// Writes one line of the log whether or not an item is on; the newline is added.
void log_line(std::string_view line);

template <class... Args>
void log_to(LogItem item, fmt::format_string<Args...> format, Args&&... args) {
  if (log_on(item)) [[unlikely]]
    log_line(fmt::format(format, std::forward<Args>(args)...));
}

// Lets `burst` events through and then `per_second` each second; counts what it held back. One thread at a
// time.
class RateLimiter {
 public:
  RateLimiter(unsigned burst, unsigned per_second) : tokens_(burst), burst_(burst), per_second_(per_second) {}
  bool allow(int64_t now_ns);
  // How many were held back since the last call.
  uint64_t take_suppressed();

 private:
  double tokens_;
  double burst_;
  double per_second_;
  int64_t last_ns_ = 0;
  bool started_ = false;
  uint64_t suppressed_ = 0;
};

// A guest error (`-d guest_errors`) already known to be on, through one process-wide rate limiter.
void log_guest_error_line(std::string_view line);

// The guest did what the hardware's manual forbids or what has no effect. Never more than a few hundred lines
// a second.
template <class... Args>
void guest_error(fmt::format_string<Args...> format, Args&&... args) {
  if (log_on(LogItem::GuestErrors)) [[unlikely]]
    log_guest_error_line(fmt::format(format, std::forward<Args>(args)...));
}

// The name before every message; the part after the last '/' of argv[0].
void set_program_name(std::string_view argv0);
std::string_view program_name();

// error: a request failed; warn: odd but going on; info: rare and useful.
void error_line(std::string_view text);
void warn_line(std::string_view text);
void info_line(std::string_view text);

template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  error_line(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  warn_line(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  info_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rhea
