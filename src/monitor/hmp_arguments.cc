#include "monitor/hmp_arguments.h"

#include <cctype>
#include <charconv>
#include <optional>

#include "base/failf.h"
#include "base/sizes.h"

namespace rhea::monitor {

namespace {

void skip_blanks(std::string_view& text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0])) != 0) text.remove_prefix(1);
}

// A word, or text in double quotes with \n, \r, \\, \', \" in it. Nothing: the line is at its end.
Result<std::optional<std::string>> take_word(std::string_view& text) {
  skip_blanks(text);
  if (text.empty()) return std::optional<std::string>();
  std::string word;
  if (text[0] != '"') {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0])) == 0) {
      word += text[0];
      text.remove_prefix(1);
    }
    return std::optional(word);
  }
  for (text.remove_prefix(1); !text.empty() && text[0] != '"'; text.remove_prefix(1)) {
    if (text[0] != '\\') {
      word += text[0];
      continue;
    }
    text.remove_prefix(1);
    if (text.empty()) break;
    constexpr std::string_view kLetter = "nr\\'\"", kPlain = "\n\r\\'\"";
    size_t known = kLetter.find(text[0]);
    if (known == kLetter.npos) return failf(ErrorKind::Invalid, "unsupported escape code: '\\{}'", text[0]);
    word += kPlain[known];
  }
  if (text.empty()) return fail(ErrorKind::Invalid, "unterminated string");
  text.remove_prefix(1);
  return std::optional(word);
}

std::string_view expected(Kind kind) {
  return kind == Kind::Filename ? "filename" : kind == Kind::Block ? "block device name" : "string";
}

class Reader {
 public:
  Reader(const Command& command, std::string_view text, const Registers& registers)
      : command_(command), text_(text), registers_(registers) {}

  Result<Json> read() {
    TRY(take_flags());
    for (const Parameter& parameter : command_.parameters) {
      if (parameter.only == Only::Qmp || parameter.kind == Kind::Flag) continue;
      TRY(take(parameter));
      // Flags may stand between the others.
      if (parameter.kind != Kind::Rest) TRY(take_flags());
    }
    skip_blanks(text_);
    if (!text_.empty())
      return failf(ErrorKind::Invalid, "{}: extraneous characters at the end of line", name());
    return std::move(out_);
  }

 private:
  std::string_view name() const {
    std::string_view whole = command_.hmp;
    return whole.starts_with("info ") ? whole.substr(5) : whole;
  }

  Result<> take_flags() {
    for (;;) {
      skip_blanks(text_);
      if (text_.size() < 2 || text_[0] != '-' || std::isalpha(static_cast<unsigned char>(text_[1])) == 0)
        return {};
      if (text_.size() > 2 && std::isspace(static_cast<unsigned char>(text_[2])) == 0) return {};
      const Parameter* found = nullptr;
      bool any = false;
      for (const Parameter& parameter : command_.parameters) {
        if (parameter.flag == 0 || parameter.only == Only::Qmp) continue;
        any = true;
        if (parameter.flag == text_[1]) found = &parameter;
      }
      if (!any) return {};
      if (found == nullptr) return failf(ErrorKind::Invalid, "{}: unsupported option -{}", name(), text_[1]);
      text_.remove_prefix(2);
      if (found->kind == Kind::Flag) {
        out_[std::string(found->name)] = true;
      } else {
        // An option with a value: "-f png".
        auto value = TRY(take_word(text_));
        if (!value) return failf(ErrorKind::Invalid, "{}: string expected", name());
        out_[std::string(found->name)] = *value;
      }
    }
  }

  Result<> take(const Parameter& parameter) {
    std::string key(parameter.name);
    if (parameter.flag != 0) return {};
    skip_blanks(text_);
    switch (parameter.kind) {
      case Kind::Rest:
        if (text_.empty() && !parameter.optional)
          return failf(ErrorKind::Invalid, "{}: string expected", name());
        if (!text_.empty()) out_[key] = std::string(std::exchange(text_, {}));
        return {};
      case Kind::Integer:
        if (parameter.optional && text_.empty()) return {};
        out_[key] = TRY(take_expression(text_, registers_));
        return {};
      case Kind::Size: return take_size(parameter, key);
      case Kind::Boolean: return take_switch(parameter, key);
      case Kind::Format: return take_format(key);
      default: return take_text(parameter, key);
    }
  }

  Result<> take_text(const Parameter& parameter, const std::string& key) {
    auto word = TRY(take_word(text_));
    if (word) {
      out_[key] = *word;
    } else if (!parameter.optional) {
      return failf(ErrorKind::Invalid, "{}: {} expected", name(), expected(parameter.kind));
    }
    return {};
  }

  Result<> take_size(const Parameter& parameter, const std::string& key) {
    const auto word = TRY(take_word(text_));
    if (!word && parameter.optional) return {};
    const auto size = parse_size(word.value_or(""), kMiB);
    if (!size || *size > INT64_MAX) return fail(ErrorKind::Invalid, "invalid size");
    out_[key] = static_cast<int64_t>(*size);
    return {};
  }

  Result<> take_switch(const Parameter& parameter, const std::string& key) {
    if (parameter.optional && text_.empty()) return {};
    auto word = TRY(take_word(text_));
    if (word != "on" && word != "off") return fail(ErrorKind::Invalid, "Expected 'on' or 'off'");
    out_[key] = *word == "on";
    return {};
  }

  Result<> take_format(const std::string& key) {
    if (!text_.starts_with('/')) return {};
    text_.remove_prefix(1);
    std::string word;
    for (; !text_.empty() && std::isspace(static_cast<unsigned char>(text_[0])) == 0; text_.remove_prefix(1))
      word += text_[0];
    for (char c : word) {
      if (std::isdigit(static_cast<unsigned char>(c)) == 0 &&
          std::string_view("oxduicbhwlg").find(c) == std::string_view::npos)
        return failf(ErrorKind::Invalid, "invalid char in format: '{}'", c);
    }
    out_[key] = word;
    return {};
  }

  const Command& command_;
  std::string_view text_;
  const Registers& registers_;
  Json out_ = Json::object();
};

}  // namespace

Result<Json> parse_hmp_arguments(const Command& command, std::string_view text, const Registers& registers) {
  return Reader(command, text, registers).read();
}

Result<Format> parse_format(std::string_view text, Format& last) {
  Format format = last;
  format.count = 1;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), format.count);
  if (problem == std::errc::result_out_of_range || format.count > 1'000'000)
    return fail(ErrorKind::Invalid, "the count is too large");
  for (char c : text.substr(static_cast<size_t>(end - text.data()))) {
    switch (c) {
      case 'o':
      case 'x':
      case 'd':
      case 'u':
      case 'i':
      case 'c': format.format = c; break;
      case 'b': format.size = 1; break;
      case 'h': format.size = 2; break;
      case 'w': format.size = 4; break;
      case 'g':
      case 'l': format.size = 8; break;
      default: return failf(ErrorKind::Invalid, "invalid char in format: '{}'", c);
    }
  }
  last = format;
  return format;
}

}  // namespace rhea::monitor
