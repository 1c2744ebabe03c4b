// From loosest to tightest: + and -; & | ^; * / %; unary + - ~ and parentheses. A blank ends an expression
// only where no operator follows it.
#include "monitor/expression.h"

#include <cctype>
#include <charconv>
#include <string>

#include "base/failf.h"

namespace rhea::monitor {

namespace {

constexpr int kDeepest = 100;

class Reader {
 public:
  Reader(std::string_view& text, const Registers& registers) : text_(text), registers_(registers) {}

  Result<uint64_t> sum(int depth = 0) {
    uint64_t value = TRY(logic(depth));
    for (;;) {
      char op = peek();
      if (op != '+' && op != '-') return value;
      step();
      uint64_t other = TRY(logic(depth));
      value = op == '+' ? value + other : value - other;
    }
  }
  void skip_blanks() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_[0])) != 0) text_.remove_prefix(1);
  }

 private:
  char peek() const { return text_.empty() ? '\0' : text_[0]; }
  void step() {
    text_.remove_prefix(1);
    skip_blanks();
  }
  static std::unexpected<Error> error(std::string text) { return fail(ErrorKind::Invalid, std::move(text)); }

  Result<uint64_t> logic(int depth) {
    uint64_t value = TRY(product(depth));
    for (;;) {
      char op = peek();
      if (op != '&' && op != '|' && op != '^') return value;
      step();
      uint64_t other = TRY(product(depth));
      value = op == '&' ? value & other : op == '|' ? value | other : value ^ other;
    }
  }

  Result<uint64_t> product(int depth) {
    uint64_t value = TRY(unary(depth));
    for (;;) {
      char op = peek();
      if (op != '*' && op != '/' && op != '%') return value;
      step();
      uint64_t other = TRY(unary(depth));
      if (op != '*' && other == 0) return error("division by zero");
      value = op == '*' ? value * other : op == '/' ? value / other : value % other;
    }
  }

  Result<uint64_t> unary(int depth) {
    if (depth > kDeepest) return error("expression is nested too deeply");
    switch (char c = peek()) {
      case '+': step(); return unary(depth + 1);
      case '-': {
        step();
        uint64_t value = TRY(unary(depth + 1));
        return -value;
      }
      case '~': {
        step();
        uint64_t value = TRY(unary(depth + 1));
        return ~value;
      }
      case '(': {
        step();
        uint64_t value = TRY(sum(depth + 1));
        if (peek() != ')') return error("')' expected");
        step();
        return value;
      }
      case '\'': return character();
      case '$': return name();
      case '\0': return error("unexpected end of expression");
      default:
        if (std::isdigit(static_cast<unsigned char>(c)) != 0) return number();
        return error(fmt::format("invalid char '{}' in expression", c));
    }
  }

  Result<uint64_t> character() {
    text_.remove_prefix(1);
    if (text_.empty()) return error("character constant expected");
    uint64_t value = static_cast<uint8_t>(text_[0]);
    text_.remove_prefix(1);
    if (peek() != '\'') return error("missing terminating \' character");
    step();
    return value;
  }

  Result<uint64_t> name() {
    text_.remove_prefix(1);
    size_t end = 0;
    auto is_name = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
    };
    while (end < text_.size() && is_name(text_[end])) ++end;
    std::string_view word = text_.substr(0, end);
    text_.remove_prefix(end);
    skip_blanks();
    auto value = registers_ ? registers_(word) : std::nullopt;
    if (!value) return error("unknown register");
    return *value;
  }

  Result<uint64_t> number() {
    int base = 10;
    size_t skip = 0;
    if (text_.starts_with("0x") || text_.starts_with("0X")) {
      base = 16;
      skip = 2;
    } else if (text_.size() > 1 && text_[0] == '0' &&
               std::isdigit(static_cast<unsigned char>(text_[1])) != 0) {
      base = 8;
    }
    uint64_t value = 0;
    const char* begin = text_.data() + skip;
    auto [end, problem] = std::from_chars(begin, text_.data() + text_.size(), value, base);
    if (problem == std::errc::result_out_of_range) return error("number too large");
    if (end == begin) return error("invalid char in expression");
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    skip_blanks();
    return value;
  }

  std::string_view& text_;
  const Registers& registers_;
};

}  // namespace

Result<int64_t> take_expression(std::string_view& text, const Registers& registers) {
  Reader reader(text, registers);
  reader.skip_blanks();
  uint64_t value = TRY(reader.sum());
  return static_cast<int64_t>(value);
}

}  // namespace rhea::monitor
