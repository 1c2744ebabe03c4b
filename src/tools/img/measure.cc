// measure: how much space an image would take in another format.
#include <fmt/core.h>

#include <algorithm>

#include "base/failf.h"
#include "block/facets.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/new_image.h"
#include "tools/img/snapshot_name.h"

namespace rhea::img {

Result<int> run_measure(Words words) {
  ImageArguments image;
  Output output = Output::Human;
  std::string format = "raw";
  std::string options_text;
  std::string snapshot;
  std::optional<uint64_t> size;
  const std::vector<Option> options = {
      help_option(),
      format_option(image),
      image_opts_option(image),
      force_share_option(image),
      object_option(),
      output_option(output),
      text_option('O', "", format),
      text_option('l', "", snapshot),
      {'o', "", true, [&](const std::string& value) { return add_options(options_text, value); }},
      {0, "size", true, [&size](const std::string& value) -> Result<> {
         size = TRY(image_size(value));
         return {};
       }}};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() > 1) return fail(ErrorKind::Invalid, "At most one filename argument is allowed.");
  if (names.empty() && (image.image_opts || !image.format.empty() || !snapshot.empty()))
    return fail(ErrorKind::Invalid, "--image-opts, -f, and -l require a filename argument.");
  if (names.empty() && !size)
    return fail(ErrorKind::Invalid, "Either --size N or one filename must be specified.");
  if (!names.empty() && size)
    return fail(ErrorKind::Invalid, "--size N cannot be used together with a filename.");
  std::unique_ptr<block::ImageNode> node;
  if (!names.empty()) {
    node = TRY(open_named(names[0], image, {}, "writeback"));
    if (!snapshot.empty()) {
      auto* store = block::facet<block::SnapshotStore>(*node);
      const bool loaded = store != nullptr && store->read_from_snapshot(TRY(snapshot_name(*store, snapshot)));
      if (!loaded) return fail(ErrorKind::NotFound, "Failed to load snapshot: Can't find snapshot");
    }
  }
  const block::FormatDriver* driver = block::find_format(format);
  if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown file format '{}'", format);
  block::MeasureRequest request;
  request.size = size.value_or(0);
  request.source = node.get();
  TRY(request.values.parse(options_text, option_table(*driver, "")));
  const block::Measurement result = TRY(driver->measure(request));
  if (output == Output::Json) {
    block::Value::Dict out;
    if (result.bitmaps) out.emplace_back("bitmaps", *result.bitmaps);
    out.emplace_back("required", result.required);
    out.emplace_back("fully-allocated", result.fully_allocated);
    print(block::to_json(out) + "\n");
    return 0;
  }
  print(
      fmt::format("required size: {}\nfully allocated size: {}\n", result.required, result.fully_allocated));
  if (result.bitmaps) print(fmt::format("bitmaps size: {}\n", *result.bitmaps));
  return 0;
}

}  // namespace rhea::img
