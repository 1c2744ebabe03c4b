// map: where the data of an image lies, in which file of its chain.
#include <fmt/core.h>

#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "block/protocols/protocol.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

struct Entry {
  uint64_t start = 0;
  block::ChainExtent what;
};

bool joins(const Entry& a, const Entry& b) {
  return a.what.depth == b.what.depth && a.what.extent.continues_into(b.what.extent);
}

std::string json_line(const Entry& entry) {
  const block::Extent& e = entry.what.extent;
  std::string out = fmt::format(
      "{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, \"zero\": {}, \"data\": {}",
      entry.start, e.length, entry.what.depth, e.allocated, e.zero, e.data);
  if (e.file != nullptr) out += fmt::format(", \"offset\": {}", e.file_offset);
  return out + "}";
}

Result<std::string> human_line(const Entry& entry) {
  const block::Extent& e = entry.what.extent;
  if (!e.data || e.zero) return std::string();
  const auto* file = dynamic_cast<const block::ProtocolNode*>(e.file);
  if (file == nullptr)
    return fail(ErrorKind::Unsupported, "File contains external, encrypted or compressed clusters.");
  return fmt::format("{:<#16x}{:<#16x}{:<#16x}{}\n", entry.start, e.length, e.file_offset, file->filename());
}

// As printf's %#x: nothing before a zero.
std::string fixed_zero(std::string line) {
  for (size_t at = 0; at + 3 < line.size() && at <= 32; at += 16) {
    if (line.compare(at, 4, "0x0 ") == 0) line.replace(at, 3, "0  ");
  }
  return line;
}

class Printer {
 public:
  explicit Printer(Output output) : output_(output) {
    print(output == Output::Human
              ? fmt::format("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File")
              : "[");
  }
  Result<> add(const Entry& entry) {
    if (pending_ && joins(*pending_, entry)) {
      pending_->what.extent.length += entry.what.extent.length;
      return {};
    }
    TRY(put());
    pending_ = entry;
    return {};
  }
  Result<> finish() {
    TRY(put());
    if (output_ == Output::Json) print("]\n");
    return {};
  }

 private:
  Result<> put() {
    if (!pending_) return {};
    if (output_ == Output::Human) {
      print(fixed_zero(TRY(human_line(*pending_))));
    } else {
      print((first_ ? "" : ",\n") + json_line(*pending_));
    }
    first_ = false;
    pending_.reset();
    return {};
  }

  Output output_;
  std::optional<Entry> pending_;
  bool first_ = true;
};

Option offset_option(char letter, const char* name, const char* what, std::optional<uint64_t>& into) {
  return {letter, name, true, [what, &into](const std::string& value) -> Result<> {
            const auto size = parse_size(value);
            if (!size) return not_a_size(what);
            into = *size;
            return {};
          }};
}

}  // namespace

Result<int> run_map(Words words) {
  ImageArguments image;
  Output output = Output::Human;
  std::optional<uint64_t> start;
  std::optional<uint64_t> max_length;
  const std::vector<Option> options = {help_option(),
                                       format_option(image),
                                       image_opts_option(image),
                                       force_share_option(image),
                                       object_option(),
                                       output_option(output),
                                       offset_option('s', "start-offset", "start offset", start),
                                       offset_option('l', "max-length", "max length", max_length)};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  TRY(check_image_arguments(image));
  const auto node = TRY(open_named(names[0], image, {}, "writeback"));
  uint64_t at = start.value_or(0);
  uint64_t end = node->size();
  if (max_length && at < end) end = at + std::min(*max_length, end - at);
  Printer printer(output);
  while (at < end) {
    const block::ChainExtent there = TRY(block::chain_extent(*node, at, end - at));
    TRY(printer.add({at, there}));
    at += there.extent.length;
  }
  TRY(printer.finish());
  return 0;
}

}  // namespace rhea::img
