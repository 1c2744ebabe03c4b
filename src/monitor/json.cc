#include "monitor/json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/failf.h"

namespace rhea::monitor {

namespace {

// The code point at text[at], which moves on; U+FFFD for what is no UTF-8. Unicode 15, table 3-7.
uint32_t decode_utf8(std::string_view text, size_t& at) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(at++);
  if (first < 0x80) return first;
  unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  if (first < 0xc2 || first > 0xf4 || at + more > text.size()) return 0xfffd;
  uint32_t code = first & (0x3fu >> more);
  for (unsigned i = 0; i < more; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0xfffd;
    code = code << 6 | (byte(at + i) & 0x3fu);
  }
  constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0xfffd;
  at += more;
  return code;
}

void append_utf8(std::string& to, uint32_t code) {
  auto put = [&to](uint32_t byte) { to.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

void write_string(std::string& out, std::string_view text) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    uint32_t code = decode_utf8(text, at);
    constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetter = "\"\\bfnrt";
    size_t known = code < 0x80 ? kPlain.find(static_cast<char>(code)) : kPlain.npos;
    if (known != kPlain.npos) {
      out += '\\';
      out += kLetter[known];
    } else if (code >= 0x10000) {
      uint32_t high = 0xd800 + ((code - 0x10000) >> 10), low = 0xdc00 + ((code - 0x10000) & 0x3ff);
      out += fmt::format("\\u{:04X}\\u{:04X}", high, low);
    } else if (code < 0x20 || code >= 0x7f) {
      out += fmt::format("\\u{:04X}", code);
    } else {
      out += static_cast<char>(code);
    }
  }
  out += '"';
}

void write_value(std::string& out, const Json& value, bool pretty, size_t depth) {
  auto line = [&](size_t level) {
    if (pretty) out += "\n" + std::string(level * 4, ' ');
  };
  bool first = true;
  auto separate = [&] {
    if (!first) out += pretty ? "," : ", ";
    first = false;
    line(depth + 1);
  };
  if (value.is_object()) {
    out += '{';
    for (const auto& [key, item] : value.items()) {
      separate();
      write_string(out, key);
      out += ": ";
      write_value(out, item, pretty, depth + 1);
    }
    if (!first) line(depth);
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (const Json& item : value) {
      separate();
      write_value(out, item, pretty, depth + 1);
    }
    if (!first) line(depth);
    out += ']';
  } else if (value.is_string()) {
    write_string(out, value.get_ref<const std::string&>());
  } else if (value.is_number_float()) {
    out += fmt::format("{:.17g}", value.get<double>());
  } else {
    out += value.dump();  // null, booleans, whole numbers
  }
}

// A text that ends somewhere: recursive descent, no deeper than JsonStream lets through.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Json> whole() {
    Json value = TRY(parse_value(0));
    skip_blanks();
    if (at_ != text_.size()) return error("unexpected characters behind the value");
    return value;
  }

 private:
  static std::unexpected<Error> error(std::string text) { return fail(ErrorKind::Invalid, std::move(text)); }
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool accept(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Result<Json> parse_value(int depth) {
    skip_blanks();
    if (at_ >= text_.size()) return error("premature EOI");
    if (depth > JsonStream::kDeepest) return error("nesting depth limit exceeded");
    char c = text_[at_];
    if (accept('{')) return parse_object(depth);
    if (accept('[')) return parse_array(depth);
    if (c == '"' || c == '\'') {
      std::string text = TRY(parse_string());
      return Json(std::move(text));
    }
    if (c == '-' || (c >= '0' && c <= '9')) return parse_number();
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return parse_keyword();
    return error("expecting value");
  }

  Result<Json> parse_object(int depth) {
    Json object = Json::object();
    if (accept('}')) return object;
    for (;;) {
      skip_blanks();
      if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\''))
        return error("key is not a string in object");
      std::string key = TRY(parse_string());
      if (!accept(':')) return error("missing : in object pair");
      if (object.contains(key)) return error("duplicate key");
      Json value = TRY(parse_value(depth + 1));
      object[key] = std::move(value);
      if (accept('}')) return object;
      if (!accept(',')) return error("expected separator in dict");
    }
  }

  Result<Json> parse_array(int depth) {
    Json array = Json::array();
    if (accept(']')) return array;
    for (;;) {
      Json value = TRY(parse_value(depth + 1));
      array.push_back(std::move(value));
      if (accept(']')) return array;
      if (!accept(',')) return error("expected separator in list");
    }
  }

  Result<uint32_t> parse_hex4() {
    uint32_t code = 0;
    const char* begin = text_.data() + at_;
    if (at_ + 4 > text_.size() || std::from_chars(begin, begin + 4, code, 16).ptr != begin + 4)
      return error("invalid hex escape in string");
    at_ += 4;
    return code;
  }

  Result<uint32_t> parse_code_point() {
    uint32_t code = TRY(parse_hex4());
    if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      uint32_t low = TRY(parse_hex4());
      if (low < 0xdc00 || low >= 0xe000) return error("invalid surrogate pair in string");
      return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000)) return error("invalid code point in string");
    return code;
  }

  Result<std::string> parse_string() {
    char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_];
      if (static_cast<uint8_t>(c) < 0x20) return error("invalid control character in string");
      if (c != '\\') {
        size_t before = at_;
        if (decode_utf8(text_, at_) == 0xfffd && text_.substr(before, 3) != "\xef\xbf\xbd")
          return error("invalid UTF-8 sequence in string");
        out.append(text_, before, at_ - before);
        continue;
      }
      if (++at_ >= text_.size()) break;
      c = text_[at_++];
      constexpr std::string_view kLetter = "\"'\\/bfnrt", kPlain = "\"'\\/\b\f\n\r\t";
      size_t known = kLetter.find(c);
      if (c == 'u') {
        append_utf8(out, TRY(parse_code_point()));
      } else if (known != kLetter.npos) {
        out += kPlain[known];
      } else {
        return error("invalid escape sequence in string");
      }
    }
    if (at_ >= text_.size()) return error("missing terminating quote in string");
    ++at_;
    return out;
  }

  Result<Json> parse_number() {
    size_t end = text_.find_first_not_of("+-.0123456789eE", at_);
    std::string_view word = text_.substr(at_, end == text_.npos ? end : end - at_);
    at_ += word.size();
    const char* stop = word.data() + word.size();
    int64_t whole = 0;
    if (auto r = std::from_chars(word.data(), stop, whole); r.ptr == stop && r.ec == std::errc{})
      return Json(whole);
    uint64_t large = 0;
    if (auto r = std::from_chars(word.data(), stop, large); r.ptr == stop && r.ec == std::errc{})
      return Json(large);
    double real = 0;
    auto r = std::from_chars(word.data(), stop, real);
    if (r.ptr != stop || r.ec != std::errc{} || !std::isfinite(real))
      return error(fmt::format("invalid number '{}'", word.substr(0, 40)));
    return Json(real);
  }

  Result<Json> parse_keyword() {
    size_t end = at_;
    while (end < text_.size() && std::isalnum(static_cast<unsigned char>(text_[end])) != 0) ++end;
    std::string_view word = text_.substr(at_, end - at_);
    at_ = end;
    if (word == "true") return Json(true);
    if (word == "false") return Json(false);
    if (word == "null") return Json(nullptr);
    return error(fmt::format("invalid keyword '{}'", word.substr(0, 40)));
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

std::string write_json(const Json& value, bool pretty) {
  std::string out;
  write_value(out, value, pretty, 0);
  return out;
}

Result<Json> parse_json(std::string_view text) {
  return Parser(text).whole();
}

void JsonStream::restart() {
  state_ = State::Between;
  text_.clear();
  braces_ = brackets_ = 0;
}

void JsonStream::finish(std::optional<Result<Json>>& value) {
  value = parse_json(text_);
  restart();
}

size_t JsonStream::take(std::string_view bytes, std::optional<Result<Json>>& value) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    char c = bytes[i];
    if (text_.size() >= kMostBytes || braces_ + brackets_ > kDeepest) {
      bool large = text_.size() >= kMostBytes;
      restart();
      value = fail(ErrorKind::Invalid, large ? "token size limit exceeded" : "nesting depth limit exceeded");
      return i;
    }
    if (state_ == State::Between && is_blank(c)) continue;
    bool structural = std::string_view("{}[],:\"'").find(c) != std::string_view::npos;
    if (state_ == State::Word && (is_blank(c) || structural)) {
      finish(value);
      return i;
    }
    text_ += c;
    if (state_ == State::Escape) {
      state_ = State::String;
    } else if (state_ == State::String) {
      if (c == '\\') state_ = State::Escape;
      if (c == quote_) state_ = State::Nested;
    } else if (c == '"' || c == '\'') {
      quote_ = c;
      state_ = State::String;
    } else {
      braces_ += c == '{' ? 1 : c == '}' ? -1 : 0;
      brackets_ += c == '[' ? 1 : c == ']' ? -1 : 0;
      if (state_ == State::Between) state_ = structural ? State::Nested : State::Word;
    }
    bool open = braces_ > 0 || brackets_ > 0;
    if (state_ == State::Nested && (!open || braces_ < 0 || brackets_ < 0)) {
      finish(value);
      return i + 1;
    }
  }
  return bytes.size();
}

}  // namespace rhea::monitor
