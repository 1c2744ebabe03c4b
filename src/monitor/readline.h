// A line editor over a byte stream that is a terminal at its other end: ANSI X3.64 cursor keys, the control
// keys of Emacs, history, completion. It echoes, so it works over sockets and ptys as well.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rhea::monitor {

class Readline {
 public:
  struct Hooks {
    std::function<void(std::string_view)> print;
    std::function<void(std::string)> line;  // Enter was pressed; the prompt is not shown again by itself
    // What the last word of `text` may become, whole words.
    std::function<std::vector<std::string>(std::string_view text)> complete;
  };
  static constexpr size_t kLongest = 4095;
  static constexpr size_t kMostHistory = 64;

  Readline(std::string prompt, Hooks hooks) : prompt_(std::move(prompt)), hooks_(std::move(hooks)) {}

  void handle(uint8_t byte);
  // Shows the prompt and what was typed so far.
  void show();
  // Forgets what was typed, not the history.
  void restart();
  // The next line is asked for with this prompt, shown as stars, kept nowhere and given to `then`.
  void ask_secret(std::string prompt, std::function<void(std::string)> then);
  const std::vector<std::string>& history() const { return history_; }

 private:
  enum class State : uint8_t { Plain, Escape, Sequence, Single };

  void control(uint8_t byte);
  void sequence(uint8_t byte);
  void insert(std::string_view text);
  void erase(size_t from, size_t to);
  void move(size_t to);
  void replace(std::string text);
  void older();
  void newer();
  size_t word_begin() const;
  void enter();
  void complete();
  void list(const std::vector<std::string>& words);
  void print(std::string_view text) { hooks_.print(text); }

  std::string shown(std::string_view text) const {
    return secret_ ? std::string(text.size(), '*') : std::string(text);
  }

  std::string prompt_;
  Hooks hooks_;
  std::string text_;
  size_t cursor_ = 0;
  State state_ = State::Plain;
  unsigned parameter_ = 0;
  std::vector<std::string> history_;
  size_t at_history_ = 0;
  std::string unfinished_;  // what was typed before going back in the history
  uint8_t last_ = 0;
  std::string secret_prompt_;
  std::function<void(std::string)> secret_;  // who has asked for one
};

}  // namespace rhea::monitor
