// The monitor that people type into.
#pragma once

#include "monitor/readline.h"
#include "monitor/session.h"

namespace rhea::monitor {

class HmpSession final : public Session {
 public:
  HmpSession(Monitor& monitor, chardev::Chardev& line);
  void connected() override;
  void disconnected() override;
  void focus_changed(bool has_it) override;

 private:
  size_t handle(std::string_view input) override;
  void print(std::string_view text);
  void greet();
  void run(std::string line);
  bool asks_for_password(std::string_view line);
  void told(const std::string& text);

  Readline readline_;
  bool has_focus_ = true, has_peer_ = false, greeted_ = false;
};

}  // namespace rhea::monitor
