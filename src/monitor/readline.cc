#include "monitor/readline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rhea::monitor {

namespace {
constexpr uint8_t ctrl(char letter) {
  return static_cast<uint8_t>(letter - 'A' + 1);
}
constexpr size_t kColumns = 80;
}  // namespace

void Readline::show() {
  print((secret_ ? secret_prompt_ : prompt_) + shown(text_));
  if (cursor_ < text_.size()) print(fmt::format("\033[{}D", text_.size() - cursor_));
}

void Readline::ask_secret(std::string prompt, std::function<void(std::string)> then) {
  restart();
  secret_prompt_ = std::move(prompt);
  secret_ = std::move(then);
  show();
}

void Readline::restart() {
  secret_ = nullptr;
  text_.clear();
  cursor_ = 0;
  state_ = State::Plain;
  at_history_ = history_.size();
}

void Readline::handle(uint8_t byte) {
  uint8_t before = last_;
  last_ = byte;
  switch (state_) {
    case State::Plain:
      // CR LF and CR NUL are one key.
      if (before == '\r' && (byte == '\n' || byte == 0)) return;
      if (byte == 27) {
        state_ = State::Escape;
      } else if (byte < 32 || byte == 127) {
        control(byte);
      } else {
        insert({reinterpret_cast<const char*>(&byte), 1});  // SAFETY: a byte is a char
      }
      return;
    case State::Escape:
      state_ = byte == '[' ? State::Sequence : byte == 'O' ? State::Single : State::Plain;
      parameter_ = 0;
      return;
    case State::Single: state_ = State::Plain; return sequence(byte);
    case State::Sequence:
      if (byte >= '0' && byte <= '9') {
        parameter_ = std::min(parameter_ * 10 + (byte - '0'), 1000u);
        return;
      }
      if (byte == ';') return;
      state_ = State::Plain;
      return sequence(byte);
  }
}

void Readline::control(uint8_t byte) {
  switch (byte) {
    case '\r':
    case '\n': return enter();
    case '\t': return complete();
    case 8:
    case 127:
      if (cursor_ > 0) erase(cursor_ - 1, cursor_);
      return;
    case ctrl('A'): return move(0);
    case ctrl('E'): return move(text_.size());
    case ctrl('B'): return move(cursor_ > 0 ? cursor_ - 1 : 0);
    case ctrl('F'): return move(cursor_ + 1);
    case ctrl('D'): return erase(cursor_, cursor_ + 1);
    case ctrl('K'): return erase(cursor_, text_.size());
    case ctrl('U'): return erase(0, cursor_);
    case ctrl('W'): return erase(word_begin(), cursor_);
    case ctrl('P'): return older();
    case ctrl('N'): return newer();
    case ctrl('L'): print("\033[H\033[2J"); return show();
    default: return;
  }
}

// ECMA-48: CUU A, CUD B, CUF C, CUB D; H and F are Home and End, as are 1~ 7~ and 4~ 8~; 3~ is Delete.
void Readline::sequence(uint8_t byte) {
  switch (byte) {
    case 'A': return older();
    case 'B': return newer();
    case 'C': return move(cursor_ + 1);
    case 'D': return move(cursor_ > 0 ? cursor_ - 1 : 0);
    case 'H': return move(0);
    case 'F': return move(text_.size());
    case '~':
      if (parameter_ == 1 || parameter_ == 7) return move(0);
      if (parameter_ == 4 || parameter_ == 8) return move(text_.size());
      if (parameter_ == 3) erase(cursor_, cursor_ + 1);
      return;
    default: return;
  }
}

void Readline::insert(std::string_view text) {
  if (text_.size() + text.size() > kLongest) return;
  text_.insert(cursor_, text);
  cursor_ += text.size();
  print(shown(text));
  if (cursor_ == text_.size()) return;
  print(shown(text_.substr(cursor_)) + fmt::format("\033[{}D", text_.size() - cursor_));
}

void Readline::erase(size_t from, size_t to) {
  to = std::min(to, text_.size());
  if (from >= to) return;
  move(from);
  text_.erase(from, to - from);
  print(shown(text_.substr(cursor_)) + "\033[K");
  if (cursor_ < text_.size()) print(fmt::format("\033[{}D", text_.size() - cursor_));
}

void Readline::move(size_t to) {
  to = std::min(to, text_.size());
  if (to < cursor_) print(fmt::format("\033[{}D", cursor_ - to));
  if (to > cursor_) print(fmt::format("\033[{}C", to - cursor_));
  cursor_ = to;
}

void Readline::replace(std::string text) {
  move(0);
  text_ = std::move(text);
  cursor_ = text_.size();
  print(text_ + "\033[K");
}

void Readline::older() {
  if (at_history_ == 0 || secret_) return;
  if (at_history_ == history_.size()) unfinished_ = text_;
  replace(history_[--at_history_]);
}

void Readline::newer() {
  if (at_history_ >= history_.size() || secret_) return;
  ++at_history_;
  replace(at_history_ == history_.size() ? unfinished_ : history_[at_history_]);
}

size_t Readline::word_begin() const {
  size_t at = cursor_;
  while (at > 0 && text_[at - 1] == ' ') --at;
  while (at > 0 && text_[at - 1] != ' ') --at;
  return at;
}

void Readline::enter() {
  std::string line = text_;
  print("\n");
  if (auto secret = std::exchange(secret_, nullptr)) {
    restart();
    return secret(std::move(line));
  }
  // The same line again is not kept twice: it moves to the end.
  if (!line.empty()) {
    std::erase(history_, line);
    history_.push_back(line);
    if (history_.size() > kMostHistory) history_.erase(history_.begin());
  }
  restart();
  hooks_.line(std::move(line));
}

void Readline::complete() {
  if (!hooks_.complete || secret_) return;
  std::string_view before = std::string_view(text_).substr(0, cursor_);
  size_t begin = before.rfind(' ');
  begin = begin == before.npos ? 0 : begin + 1;
  std::string word(before.substr(begin));
  std::vector<std::string> words = hooks_.complete(before);
  std::erase_if(words, [&word](const std::string& candidate) { return !candidate.starts_with(word); });
  if (words.empty()) return;
  std::ranges::sort(words);
  std::string common = words.front();
  for (const std::string& other : words) {
    size_t same = 0;
    while (same < common.size() && same < other.size() && common[same] == other[same]) ++same;
    common.resize(same);
  }
  insert(std::string_view(common).substr(word.size()));
  if (words.size() == 1) {
    if (!common.ends_with('/')) insert(" ");
  } else {
    list(words);
  }
}

void Readline::list(const std::vector<std::string>& words) {
  size_t width = 10;
  for (const std::string& word : words) width = std::max(width, word.size() + 2);
  size_t columns = std::max<size_t>(kColumns / width, 1);
  std::string text = "\n";
  for (size_t i = 0; i < words.size(); ++i) {
    bool last = i % columns == columns - 1 || i + 1 == words.size();
    text += last ? words[i] + "\n" : fmt::format("{:<{}}", words[i], width);
  }
  print(text);
  show();
}

}  // namespace rhea::monitor
