// What monitors read, as any bytes: QMP's stream of values, lines with arguments for each command, the line
// editor. Nothing is carried out.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "monitor/command.h"
#include "monitor/hmp_arguments.h"
#include "monitor/readline.h"

namespace {

using namespace rhea::monitor;

void read_values(std::string_view text) {
  JsonStream stream;
  while (!text.empty()) {
    std::optional<rhea::Result<Json>> value;
    const size_t used = stream.take(text, value);
    CHECK(used <= text.size() && (used != 0 || value));
    text.remove_prefix(used);
    if (!value || !*value) continue;
    CHECK(parse_json(write_json(**value)).has_value());  // what is written can be read
    if (!(*value)->is_object() || !(*value)->contains("execute")) continue;
    const Json& name = (**value)["execute"];
    const Command* command = name.is_string() ? find_qmp(name.get<std::string>()) : nullptr;
    if (command == nullptr) continue;
    static_cast<void>(check_arguments(*command, (*value)->value("arguments", Json::object())));
  }
}

void read_line(std::string_view text) {
  const auto no_register = [](std::string_view) { return std::optional<uint64_t>(7); };
  const size_t blank = std::min(text.find(' '), text.size());
  const Command* command = find_hmp(text.substr(0, blank));
  const std::string_view rest = text.substr(std::min(blank + 1, text.size()));
  const auto& all = all_commands();
  // Any that people have: the first from there on.
  for (size_t at = text.empty() ? 0 : static_cast<uint8_t>(text[0]); command == nullptr; ++at) {
    const Command* candidate = all[at % all.size()];
    if (candidate->hmp != nullptr) command = candidate;
  }
  static_cast<void>(parse_hmp_arguments(*command, rest, no_register));
  Format format;
  static_cast<void>(parse_format(rest, format));
}

void type(std::string_view text) {
  std::vector<std::string> lines;
  Readline line("(qemu) ", {.print = [](std::string_view) {},
                            .line = [&](std::string typed) { lines.push_back(std::move(typed)); },
                            .complete =
                                [](std::string_view) {
                                  return std::vector<std::string>{"info", "inject"};
                                }});
  for (const char c : text) {
    line.handle(static_cast<uint8_t>(c));
    if (c == '!') line.ask_secret("Password: ", [](std::string_view) {});
  }
  for (const std::string& typed : lines) CHECK(typed.size() <= Readline::kLongest);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);  // SAFETY: bytes as chars
  switch (data[0] % 3) {
    case 0: read_values(text); break;
    case 1: read_line(text); break;
    default: type(text); break;
  }
  return 0;
}
