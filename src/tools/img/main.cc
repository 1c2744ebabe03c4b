// rhea-img: makes, inspects and converts disk images, with the command line of qemu-img 7.2.
#include <fmt/core.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/failf.h"
#include "base/log.h"
#include "base/trace.h"
#include "config/key_values.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/hints.h"
#include "tools/img/option_help.h"

namespace rhea::img {
namespace {

int complain(const Error& error, int status) {
  std::fflush(stdout);
  const std::string message = error.message();
  error_line(message);
  if (const std::string hint = hint_for(message); !hint.empty()) fmt::print(stderr, "({})\n", hint);
  return status;
}

Result<> enable_events(const std::string& pattern) {
  if (trace::enable(pattern) == 0) warn_line(fmt::format("trace event '{}' does not exist", pattern));
  return {};
}

// -T [enable=]PATTERN[,events=FILE][,file=FILE]
Result<> set_trace(std::string_view text) {
  config::KeyValues values = TRY(config::split_options(text, "enable"));
  if (const auto file = config::take(values, "file")) TRY(set_log_file(*file));
  if (const auto pattern = config::take(values, "enable")) TRY(enable_events(*pattern));
  if (const auto name = config::take(values, "events")) {
    std::ifstream list(*name);
    if (!list) return failf(ErrorKind::NotFound, "could not open {}: {}", *name, errno_text(errno));
    for (std::string line; std::getline(list, line);) {
      if (!line.empty() && line[0] != '#') TRY(enable_events(line));
    }
  }
  if (!values.empty()) return failf(ErrorKind::Invalid, "Invalid parameter '{}'", values.front().key);
  return {};
}

// The options before the command. Returns an exit status if there is nothing more to do.
Result<std::optional<int>> standard_options(Words words, size_t& used) {
  while (used < words.size() && words[used].starts_with("-") && words[used].size() > 1) {
    const std::string& word = words[used++];
    if (word == "-h" || word == "--help") {
      print(help_text());
      return 0;
    }
    if (word == "-V" || word == "--version") {
      print(version_text());
      return 0;
    }
    std::string value;
    if (word == "-T" || word == "--trace") {
      if (used == words.size()) return usage(fmt::format("missing argument for option '{}'", word));
      value = words[used++];
    } else if (word.starts_with("--trace=")) {
      value = word.substr(8);
    } else if (word.starts_with("-T")) {
      value = word.substr(2);
    } else {
      return usage(fmt::format("unrecognized option '{}'", word));
    }
    if (value == "help") {
      for (const std::string_view name : trace::names()) print(fmt::format("{}\n", name));
      return 0;
    }
    TRY(set_trace(value));
  }
  return std::nullopt;
}

int run(Words words) {
  size_t used = 0;
  const auto done = standard_options(words, used);
  if (!done) return complain(done.error(), 1);
  if (*done) return **done;
  if (used == words.size()) return complain(usage("Not enough arguments").error(), 1);
  const std::string& name = words[used++];
  for (const Command& command : commands()) {
    if (name != command.name) continue;
    set_current_command(name);
    const auto status = command.run(words.subspan(used));
    if (status) return *status;
    const bool is_usage = status.error().text().ends_with("for more information");
    return complain(status.error(), is_usage ? 1 : command.failure);
  }
  return complain(usage(fmt::format("Command not found: {}", name)).error(), 1);
}

}  // namespace
}  // namespace rhea::img

int main(int argc, char** argv) {
  // A file that may not grow is an error of the call that tries, with a message.
  ::signal(SIGXFSZ, SIG_IGN);
  rhea::set_program_name(argc > 0 ? argv[0] : "rhea-img");
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int status = rhea::img::run(words);
  return std::fflush(stdout) == 0 ? status : 1;
}
