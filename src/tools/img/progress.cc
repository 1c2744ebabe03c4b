#include "tools/img/progress.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace rhea::img {
namespace {

constexpr int kBarWidth = 40;

std::atomic<bool> interrupted{false};
std::atomic<int> which_signal{SIGINT};

std::atomic<bool> asked_by_signal{false};

void on_question(int) {
  asked_by_signal.store(true);
}

void on_signal(int number) {
  which_signal.store(number);
  interrupted.store(true);
}

}  // namespace

Progress::Progress(bool asked, bool quiet) {
  line_ = asked && !quiet;
  bar_ = !asked && !quiet && ::isatty(STDERR_FILENO) != 0;
  if (line_) show(0);
  struct sigaction action {};
  action.sa_handler = on_question;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, nullptr);
}

Progress::~Progress() {
  if (ended_ || shown_ < 0) return;
  if (line_) std::fputc('\n', stdout);
  if (bar_) std::fputc('\n', stderr);
}

void Progress::report(uint64_t done, uint64_t total) {
  const double percent = total == 0 ? 100 : 100.0 * static_cast<double>(done) / static_cast<double>(total);
  if (asked_by_signal.exchange(false)) fmt::print(stderr, "    ({:.2f}/100%)\n", percent);
  if (!line_ && !bar_) return;
  if (percent - shown_ >= 1 || percent >= 100) show(percent);
}

void Progress::show(double percent) {
  if (percent == shown_) return;
  shown_ = percent;
  if (line_) {
    fmt::print("    ({:.2f}/100%)\r", percent);
    std::fflush(stdout);
  } else {
    const auto full = static_cast<size_t>(percent / 100 * kBarWidth);
    fmt::print(stderr, "\r[{:<{}}] {:3.0f}%", std::string(full, '#'), kBarWidth, percent);
    std::fflush(stderr);
  }
}

void Progress::finish() {
  if (!line_ && !bar_) return;
  show(100);
  std::fputc('\n', line_ ? stdout : stderr);
  ended_ = true;
}

const std::atomic<bool>& watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  return interrupted;
}

void die_interrupted() {
  const int number = which_signal.load();
  ::signal(number, SIG_DFL);
  ::raise(number);
  std::_Exit(128 + number);
}

}  // namespace rhea::img
