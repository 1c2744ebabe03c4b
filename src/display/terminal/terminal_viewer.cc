#include "display/terminal/terminal_viewer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "base/failf.h"

namespace rhea::display {

namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[2J", kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr int64_t kHoldNs = 10'000'000, kResizeNs = 500'000'000;

bool terminal_is_utf8() {
  locale_t locale = ::newlocale(LC_CTYPE_MASK, "", nullptr);
  if (locale == nullptr) return false;
  const bool utf8 = std::string_view(::nl_langinfo_l(CODESET, locale)) == "UTF-8";
  ::freelocale(locale);
  return utf8;
}

}  // namespace

Result<std::unique_ptr<TerminalViewer>> TerminalViewer::open(const Wiring& wiring) {
  const char* kind = std::getenv("TERM");
  if (kind == nullptr || *kind == 0 || std::string_view(kind) == "dumb")
    return fail(ErrorKind::Unsupported, "the terminal cannot move its cursor (TERM says so)");
  const int fd = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failf(ErrorKind::NotFound, "there is no terminal: {}", errno_text(errno));
  std::unique_ptr<TerminalViewer> viewer(new TerminalViewer(wiring, fd, terminal_is_utf8()));
  TRY(viewer->take_over());
  return viewer;
}

TerminalViewer::TerminalViewer(const Wiring& wiring, int fd, bool unicode)
    : wiring_(wiring),
      fd_(fd),
      keys_(wiring.layout),
      page_(unicode),
      sender_(wiring.input, wiring.loop.virtual_clock()),
      timer_(wiring.loop.monotonic_clock().make_timer([this] { draw(); })) {}

Result<> TerminalViewer::take_over() {
  if (::tcgetattr(fd_, &before_) != 0) return fail_errno(errno, "the terminal");
  termios raw = before_;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd_, TCSANOW, &raw);
  watch_ = TRY(wiring_.loop.watch(fd_, EPOLLIN, [this](uint32_t events) { ready(events); }));
  pending_ = kEnter;
  flush();
  wiring_.screen.add(*this);
  return {};
}

TerminalViewer::~TerminalViewer() {
  wiring_.screen.remove(*this);
  if (watch_ != nullptr) {
    watch_.reset();
    // The terminal's last words may block: nothing runs any more.
    ::fcntl(fd_, F_SETFL, 0);
    const ssize_t written = ::write(fd_, kLeave.data(), kLeave.size());
    static_cast<void>(written);
    ::tcsetattr(fd_, TCSANOW, &before_);
  }
  ::close(fd_);
}

void TerminalViewer::surface_changed(const Surface&) {
  draw_soon();
}

void TerminalViewer::changed(const Rect&) {
  draw_soon();
}

void TerminalViewer::draw_soon() {
  stale_ = true;
  if (pending_.empty()) timer_->arm(wiring_.loop.monotonic_clock().now_ns());
}

void TerminalViewer::draw() {
  winsize size{};
  ::ioctl(fd_, TIOCGWINSZ, &size);
  const unsigned columns = size.ws_col == 0 ? 80 : size.ws_col, rows = size.ws_row == 0 ? 24 : size.ws_row;
  stale_ = false;
  TextPage page;
  if (!wiring_.screen.text(page)) {
    const Surface& surface = wiring_.screen.surface();
    page =
        message_page(fmt::format("{} x {} Graphic mode", surface.width(), surface.height()), columns, rows);
  }
  pending_ += page_.show(page, columns, rows);
  flush();
  timer_->arm(wiring_.loop.monotonic_clock().now_ns() + kResizeNs);  // the terminal's size may change
}

void TerminalViewer::flush() {
  while (!pending_.empty()) {
    const ssize_t written = ::write(fd_, pending_.data(), pending_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    pending_.erase(0, static_cast<size_t>(written));
  }
  watch_->set_events(pending_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void TerminalViewer::ready(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    flush();
    if (pending_.empty() && stale_) draw_soon();
  }
  if ((events & EPOLLIN) != 0) {
    read_keys();
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    watch_->set_events(0);  // the terminal has gone; the machine goes on
  }
}

void TerminalViewer::read_keys() {
  std::array<uint8_t, 256> bytes{};
  const ssize_t got = ::read(fd_, bytes.data(), bytes.size());
  if (got <= 0) {
    if (got == 0) watch_->set_events(0);
    return;
  }
  for (TerminalKeys::Chord& chord : keys_.parse({bytes.data(), static_cast<size_t>(got)}))
    sender_.send(std::move(chord), kHoldNs);
}

}  // namespace rhea::display
