#include "chardev/mux_chardev.h"

#include <fmt/format.h>

#include <algorithm>

namespace rhea::chardev {

namespace {
// Of one port, while its device takes nothing. The prefix is seen as long as there is room.
constexpr size_t kInputLimit = 4096;

std::span<const uint8_t> as_bytes(std::string_view text) {
  // SAFETY: text is bytes.
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
}  // namespace

class MuxChardev::Port final : public Chardev {
 public:
  explicit Port(MuxChardev& mux) : mux_(mux) {}

  void attach(Frontend* frontend) override {
    frontend_ = frontend;
    told_peer_ = false;
    told_focus_ = false;
    if (frontend != nullptr) {
      mux_.give_focus(this);
    } else if (mux_.focus_ == this) {
      mux_.next_focus();
    }
  }
  size_t write(std::span<const uint8_t> bytes) override {
    size_t n = mux_.stamps_ ? mux_.write_stamped(bytes) : mux_.write(bytes);
    waits_ = n < bytes.size();
    return n;
  }
  void resume_input() override {
    deliver();
    if (mux_.focus_ == this) mux_.base_.resume_input();
  }
  bool has_peer() const override { return mux_.base_.has_peer(); }
  std::string description() const override { return "mux"; }

  bool used() const { return frontend_ != nullptr; }
  Frontend* frontend() { return frontend_; }
  size_t room() const { return kInputLimit - std::min(kInputLimit, input_.size()); }
  void input(uint8_t byte) { input_.push_back(byte); }
  void deliver() {
    while (frontend_ != nullptr && !input_.empty()) {
      size_t n = std::min(frontend_->can_receive(), input_.size());
      if (n == 0) return;
      auto end = input_.begin() + static_cast<ptrdiff_t>(n);
      std::vector<uint8_t> part(input_.begin(), end);
      input_.erase(input_.begin(), end);
      frontend_->receive(part);
    }
  }
  void output_ready() {
    if (frontend_ != nullptr && std::exchange(waits_, false)) frontend_->output_ready();
  }
  void announce(bool focus, bool peer) {
    if (frontend_ == nullptr) return;
    if (!told_focus_ || focus != had_focus_) {
      told_focus_ = true;
      had_focus_ = focus;
      frontend_->focus_changed(focus);
    }
    if (peer == told_peer_) return;
    told_peer_ = peer;
    peer ? frontend_->connected() : frontend_->disconnected();
  }

 private:
  MuxChardev& mux_;
  Frontend* frontend_ = nullptr;
  std::deque<uint8_t> input_;
  bool waits_ = false;  // write() refused something
  bool told_peer_ = false, told_focus_ = false, had_focus_ = false;
};

MuxChardev::MuxChardev(async::EventLoop& loop, Chardev& base, uint8_t escape, const Hooks& hooks)
    : loop_(loop), base_(base), escape_(escape), hooks_(hooks) {
  base_.attach(this);
}

MuxChardev::~MuxChardev() {
  *alive_ = false;
  base_.attach(nullptr);
}

Chardev* MuxChardev::add_port() {
  if (ports_.size() >= kMostPorts) return nullptr;
  ports_.push_back(std::make_unique<Port>(*this));
  return ports_.back().get();
}

size_t MuxChardev::can_receive() {
  return focus_ != nullptr ? focus_->room() : kInputLimit;
}

void MuxChardev::receive(std::span<const uint8_t> bytes) {
  for (uint8_t byte : bytes) {
    if (after_escape_) {
      after_escape_ = false;
      escaped(byte);
    } else if (byte == escape_) {
      after_escape_ = true;
    } else if (focus_ != nullptr) {
      focus_->input(byte);
    }
  }
  for (auto& port : ports_) port->deliver();
}

void MuxChardev::receive_break() {
  if (focus_ != nullptr && focus_->used()) focus_->frontend()->receive_break();
}

void MuxChardev::output_ready() {
  for (auto& port : ports_) port->output_ready();
}

void MuxChardev::connected() {
  announce_later();
}
void MuxChardev::disconnected() {
  after_escape_ = false;
  announce_later();
}

size_t MuxChardev::write(std::span<const uint8_t> bytes) {
  return base_.write(bytes);
}

// Behind each line's end the time since the first one. A stamp may be cut off when the base is full.
size_t MuxChardev::write_stamped(std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (line_begins_) {
      int64_t now = loop_.monotonic_clock().now_ns();
      if (first_stamp_ns_ < 0) first_stamp_ns_ = now;
      int64_t ms = (now - first_stamp_ns_) / 1'000'000;
      say(fmt::format("[{:02}:{:02}:{:02}.{:03}] ", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60,
                      ms % 1000));
      line_begins_ = false;
    }
    if (base_.write(bytes.subspan(i, 1)) == 0) return i;
    line_begins_ = bytes[i] == '\n';
  }
  return bytes.size();
}

void MuxChardev::say(std::string_view text) {
  base_.write(as_bytes(text));
}

void MuxChardev::help() {
  std::string name = escape_ > 0 && escape_ < 27 ? fmt::format("C-{:c}", escape_ - 1 + 'a')
                                                 : fmt::format("Escape-Char={:#x}", escape_);
  std::string text = "\n\r";
  for (std::string_view line :
       {"h    print this help", "x    exit emulator", "s    save disk data back to file (if -snapshot)",
        "t    toggle console timestamps", "b    send break (magic sysrq)",
        "c    switch between console and monitor"})
    text += fmt::format("{} {}\n\r", name, line);
  say(text + fmt::format("{} {}  sends {}\n\r", name, name, name));
}

void MuxChardev::escaped(uint8_t byte) {
  if (byte == escape_) {
    if (focus_ != nullptr) focus_->input(byte);
    return;
  }
  switch (byte) {
    case 'h':
    case '?': return help();
    case 'x':
      say("QEMU: Terminated\n\r");
      if (hooks_.quit) hooks_.quit();
      return;
    case 's':
      if (hooks_.commit) hooks_.commit();
      return;
    case 'b':
      // Behind what was typed before it.
      if (focus_ != nullptr) focus_->deliver();
      return receive_break();
    case 'c': return next_focus();
    case 't':
      stamps_ = !stamps_;
      first_stamp_ns_ = -1;
      line_begins_ = false;
      return;
    default: return;
  }
}

void MuxChardev::next_focus() {
  size_t at = 0;
  while (at < ports_.size() && ports_[at].get() != focus_) ++at;
  for (size_t step = 1; step <= ports_.size(); ++step) {
    Port* next = ports_[(at + step) % ports_.size()].get();
    if (next->used()) return give_focus(next);
  }
  focus_ = nullptr;
}

void MuxChardev::give_focus(Port* port) {
  focus_ = port;
  announce_later();
}

void MuxChardev::announce_later() {
  loop_.post([this, alive = alive_] {
    if (*alive) announce();
  });
}

void MuxChardev::announce() {
  // The one that loses the focus first.
  for (auto& port : ports_) {
    if (port.get() != focus_) port->announce(false, base_.has_peer());
  }
  if (focus_ == nullptr) return;
  focus_->announce(true, base_.has_peer());
  focus_->deliver();
  base_.resume_input();
}

}  // namespace rhea::chardev
