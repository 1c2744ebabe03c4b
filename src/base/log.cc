#include "base/log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "base/failf.h"
#include "base/log_prefix.h"

namespace rhea {

std::atomic<uint32_t> log_mask{0};

namespace {

struct ItemName {
  const char* name;
  LogItem item;
  const char* help;
};

constexpr std::array kItems = {
    ItemName{"out_asm", LogItem::OutAsm, "show generated host code for each translated block"},
    ItemName{"in_asm", LogItem::InAsm, "show guest code for each translated block"},
    ItemName{"int", LogItem::Int, "show interrupts and exceptions"},
    ItemName{"exec", LogItem::Exec, "show each block before it is executed (many lines)"},
    ItemName{"cpu_reset", LogItem::CpuReset, "show the CPU state before CPU resets"},
    ItemName{"unimp", LogItem::Unimp, "show unimplemented functionality that the guest uses"},
    ItemName{"guest_errors", LogItem::GuestErrors, "show when the guest does something invalid"},
};

constexpr unsigned kGuestErrorBurst = 1000;
constexpr unsigned kGuestErrorsPerSecond = 100;

struct State {
  std::mutex mutex;
  int log_fd = STDERR_FILENO;
  std::string program = "rhea";
  bool timestamp = false;
  std::string machine;  // before messages; empty: it is not wanted
  RateLimiter guest_errors{kGuestErrorBurst, kGuestErrorsPerSecond};
};

// Never destroyed: threads may still log while the process ends.
State& state() {
  static State* const instance = new State;
  return *instance;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // there is nowhere left to complain
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void write_line(int fd, std::string_view line) {
  std::string text(line);
  if (!text.ends_with('\n')) text += '\n';
  write_all(fd, text);
}

// "2026-11-23T20:15:00.123456Z "
std::string time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z ", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
}

void message(std::string_view level, std::string_view text) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const std::string machine = s.machine.empty() ? "" : s.machine + " ";
  write_line(STDERR_FILENO,
             fmt::format("{}{}{}: {}{}", s.timestamp ? time_now() : "", machine, s.program, level, text));
}

int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Result<uint32_t> item_bits(std::string_view name) {
  if (name == "all") {
    uint32_t all = 0;
    for (const ItemName& item : kItems) all |= static_cast<uint32_t>(item.item);
    return all;
  }
  const auto* found = std::ranges::find(kItems, name, &ItemName::name);
  if (found != kItems.end()) return static_cast<uint32_t>(found->item);
  std::string known;
  for (const ItemName& item : kItems) known += fmt::format("{}, ", item.name);
  return failf(ErrorKind::Invalid, "unknown log item '{}', known are {}all", name, known);
}

}  // namespace

Result<> set_log_items(std::string_view list) {
  uint32_t mask = 0;
  while (true) {
    const size_t comma = list.find(',');
    mask |= TRY(item_bits(list.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  log_mask.store(mask, std::memory_order_relaxed);
  return {};
}

std::string log_items_help() {
  std::string out = "Log items (comma separated):\n";
  for (const ItemName& item : kItems) out += fmt::format("{:<15} {}\n", item.name, item.help);
  return out + fmt::format("{:<15} {}\n", "all", "all of these");
}

Result<> set_log_file(std::string_view path) {
  std::string name(path);
  if (const size_t at = name.find("%d"); at != std::string::npos)
    name.replace(at, 2, std::to_string(::getpid()));
  const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0644);
  if (fd < 0) return fail_errno(errno, fmt::format("opening log file '{}'", name));
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.log_fd != STDERR_FILENO) ::close(s.log_fd);
  s.log_fd = fd;
  return {};
}

void log_line(std::string_view line) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  write_line(s.log_fd, line);
}

void log_guest_error_line(std::string_view line) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (!s.guest_errors.allow(monotonic_ns())) return;
  if (const uint64_t missed = s.guest_errors.take_suppressed(); missed != 0) {
    write_line(s.log_fd, fmt::format("({} guest errors not shown)", missed));
  }
  write_line(s.log_fd, line);
}

bool RateLimiter::allow(int64_t now_ns) {
  if (!started_) last_ns_ = now_ns;
  started_ = true;
  const double elapsed = static_cast<double>(now_ns - last_ns_) * 1e-9;
  last_ns_ = now_ns;
  tokens_ = std::min(burst_, tokens_ + elapsed * per_second_);
  if (tokens_ < 1) {
    ++suppressed_;
    return false;
  }
  tokens_ -= 1;
  return true;
}

uint64_t RateLimiter::take_suppressed() {
  return std::exchange(suppressed_, 0);
}

void set_program_name(std::string_view argv0) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.program = argv0.substr(argv0.find_last_of('/') + 1);
}

void set_message_prefix(bool timestamp, std::string machine) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.timestamp = timestamp;
  s.machine = std::move(machine);
}

std::string_view program_name() {
  return state().program;
}

void error_line(std::string_view text) {
  message("", text);
}
void warn_line(std::string_view text) {
  message("warning: ", text);
}
void info_line(std::string_view text) {
  message("info: ", text);
}

}  // namespace rhea
