#include "tools/img/arguments.h"

#include <cstdio>
#include <cstdlib>

#include "base/failf.h"
#include "base/log.h"
#include "tools/img/common.h"
#include "tools/img/option_help.h"

namespace rhea::img {
namespace {

const Option* by_letter(std::span<const Option> options, char letter) {
  for (const Option& option : options) {
    if (letter != 0 && option.letter == letter) return &option;
  }
  return nullptr;
}

// The option of that name, or the only one whose name begins so.
const Option* by_name(std::span<const Option> options, std::string_view name) {
  const Option* found = nullptr;
  for (const Option& option : options) {
    const std::string_view known = option.name;
    if (known == name) return &option;
    if (name.empty() || !known.starts_with(name)) continue;
    if (found != nullptr) return nullptr;
    found = &option;
  }
  return found;
}

[[noreturn]] void print_help(std::span<const Option> options) {
  print(command_help(options));
  std::exit(std::fflush(stdout) == 0 ? 0 : 1);
}

class Parser {
 public:
  Parser(std::span<const std::string> words, std::span<const Option> options)
      : words_(words), options_(options) {}

  Result<std::vector<std::string>> run() {
    std::vector<std::string> names;
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      if (word == "--") {
        names.insert(names.end(), words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
        break;
      }
      if (word.size() < 2 || word[0] != '-') {
        names.push_back(word);
      } else if (word[1] == '-') {
        TRY(long_option(word));
      } else {
        TRY(letters(word));
      }
    }
    return names;
  }

 private:
  Result<> long_option(const std::string& word) {
    const size_t equals = word.find('=');
    const Option* option = by_name(options_, std::string_view(word).substr(2, equals - 2));
    const bool has_value = equals != std::string::npos;
    if (option == nullptr || (has_value && !option->takes_value))
      return usage(fmt::format("unrecognized option '{}'", word));
    if (!option->handle) print_help(options_);
    if (!option->takes_value) return option->handle("");
    return option->handle(has_value ? word.substr(equals + 1) : TRY(next_word(word)));
  }

  Result<> letters(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const Option* option = by_letter(options_, word[i]);
      if (option == nullptr) return usage(fmt::format("unrecognized option '{}'", word));
      if (!option->handle) print_help(options_);
      if (!option->takes_value) {
        TRY(option->handle(""));
        continue;
      }
      return option->handle(i + 1 < word.size() ? word.substr(i + 1) : TRY(next_word(word)));
    }
    return {};
  }

  Result<std::string> next_word(const std::string& option) {
    if (at_ == words_.size()) return usage(fmt::format("missing argument for option '{}'", option));
    return words_[at_++];
  }

  std::span<const std::string> words_;
  std::span<const Option> options_;
  size_t at_ = 0;
};

}  // namespace

Result<std::vector<std::string>> parse_arguments(std::span<const std::string> words,
                                                 std::span<const Option> options) {
  return Parser(words, options).run();
}

std::unexpected<Error> usage(std::string text) {
  return failf(ErrorKind::Invalid, "{}\nTry '{} --help' for more information", text, program_name());
}

}  // namespace rhea::img
