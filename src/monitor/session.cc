#include "monitor/session.h"

namespace rhea::monitor {

void Session::receive(std::span<const uint8_t> bytes) {
  input_.append(bytes.begin(), bytes.end());
  while (!input_.empty() && !busy_ && !lags()) input_.erase(0, handle(input_));
}

void Session::go_on() {
  receive({});
  if (!held_up()) line_.resume_input();
}

void Session::disconnected() {
  input_.clear();
  output_.clear();
}

void Session::send(std::string_view bytes) {
  output_ += bytes;
  flush();
}

void Session::flush() {
  if (output_.empty()) return;
  // SAFETY: text is bytes.
  size_t taken = line_.write({reinterpret_cast<const uint8_t*>(output_.data()), output_.size()});
  output_.erase(0, taken);
}

void Session::output_ready() {
  flush();
  go_on();
}

void Session::begin_work(std::function<void()> work) {
  busy_ = true;
  monitor_.context().vm.post_unlocked(std::move(work));
}

void Session::end_work() {
  busy_ = false;
  go_on();
}

}  // namespace rhea::monitor
