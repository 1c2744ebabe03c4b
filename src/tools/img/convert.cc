// convert: copies images, one or several behind each other, into a new one of any format.
#include "block/jobs/convert.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "base/failf.h"
#include "base/log.h"
#include "base/sizes.h"
#include "block/facets.h"
#include "config/schema.h"
#include "tools/img/bitmaps.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/new_image.h"
#include "tools/img/progress.h"
#include "tools/img/snapshot_name.h"

namespace rhea::img {
namespace {

constexpr uint64_t kMaxSparse = uint64_t{16} << 20;

struct Request {
  ImageArguments source;
  std::string cache = "unsafe";
  std::string output_format;  // empty: not given, raw
  std::string backing_file;
  std::string backing_format;
  std::string options;
  std::string snapshot;
  bool compress = false;
  bool quiet = false;
  bool progress = false;
  bool skip_create = false;
  bool out_of_order = false;
  bool copy_offload = false;
  bool explicit_sparse = false;
  bool target_image_opts = false;
  bool target_is_zero = false;
  bool salvage = false;
  bool bitmaps = false;
  bool skip_broken_bitmaps = false;
  uint64_t sparse_size = 4096;
  uint64_t rate_limit = 0;
  unsigned workers = 8;
};

Result<> set_sparse(Request& request, const std::string& text) {
  const auto size = parse_size(text);
  if (!size) return not_a_size("buffer size for sparse output");
  if (*size % 512 != 0 || *size > kMaxSparse)
    return failf(ErrorKind::Invalid,
                 "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to "
                 "{}. Select 0 "
                 "to disable sparse detection (fully allocates output).",
                 kMaxSparse);
  request.sparse_size = *size;
  request.explicit_sparse = true;
  return {};
}

Result<> set_workers(Request& request, const std::string& text) {
  const auto count = config::parse_unsigned(text, 1, 16);
  if (!count)
    return fail(ErrorKind::Invalid,
                "Invalid number of coroutines. Allowed number of coroutines is between 1 and 16");
  request.workers = static_cast<unsigned>(*count);
  return {};
}

std::vector<Option> option_table(Request& r) {
  return {
      help_option(),
      format_option(r.source),
      text_option('O', "", r.output_format),
      text_option('B', "", r.backing_file),
      text_option('F', "", r.backing_format),
      {'o', "", true, [&r](const std::string& value) { return add_options(r.options, value); }},
      text_option('l', "", r.snapshot),
      {'S', "", true, [&r](const std::string& value) { return set_sparse(r, value); }},
      {'r', "", true,
       [&r](const std::string& value) -> Result<> {
         const auto rate = parse_size(value);
         if (!rate) return not_a_size("rate limit");
         r.rate_limit = *rate;
         return {};
       }},
      {'m', "", true, [&r](const std::string& value) { return set_workers(r, value); }},
      flag_option('W', "", r.out_of_order),
      flag_option('n', "", r.skip_create),
      flag_option('c', "", r.compress),
      flag_option('C', "", r.copy_offload),
      flag_option('p', "", r.progress),
      flag_option('q', "", r.quiet),
      cache_option('t', r.cache),
      cache_option('T', r.source.cache),
      force_share_option(r.source),
      image_opts_option(r.source),
      object_option(),
      flag_option(0, "target-image-opts", r.target_image_opts),
      flag_option(0, "target-is-zero", r.target_is_zero),
      flag_option(0, "salvage", r.salvage),
      flag_option(0, "bitmaps", r.bitmaps),
      flag_option(0, "skip-broken-bitmaps", r.skip_broken_bitmaps),
  };
}

Result<> check_request(const Request& r) {
  TRY(check_image_arguments(r.source));
  if (r.target_image_opts && !r.skip_create)
    return fail(ErrorKind::Invalid, "--target-image-opts requires use of -n flag");
  if (r.target_is_zero && !r.skip_create)
    return fail(ErrorKind::Invalid, "--target-is-zero requires use of -n flag");
  if (r.target_image_opts && !r.output_format.empty())
    return fail(ErrorKind::Invalid, "--image-opts and --format are mutually exclusive");
  if (r.copy_offload && r.salvage)
    return fail(ErrorKind::Invalid, "Cannot use copy offloading in salvaging mode");
  if (r.copy_offload && r.explicit_sparse)
    return fail(ErrorKind::Invalid, "Cannot enable copy offloading when -S is used");
  if (r.copy_offload && r.compress)
    return fail(ErrorKind::Invalid, "Cannot enable copy offloading when -c is used");
  if (r.skip_create && !r.options.empty())
    return fail(ErrorKind::Invalid, "-o has no effect when skipping image creation");
  if (r.skip_broken_bitmaps && !r.bitmaps)
    return fail(ErrorKind::Invalid, "Use of --skip-broken-bitmaps requires --bitmaps");
  TRY(cache_mode(r.source.cache.empty() ? "writeback" : r.source.cache, "source cache"));
  TRY(cache_mode(r.cache, "cache"));
  return {};
}

using Images = std::vector<std::unique_ptr<block::ImageNode>>;

Result<Images> open_sources(const Request& r, std::span<const std::string> names) {
  Images out;
  for (const std::string& name : names) out.push_back(TRY(open_named(name, r.source, {}, "writeback")));
  if (r.snapshot.empty()) return out;
  if (out.size() > 1) return fail(ErrorKind::Invalid, "No support for concatenating multiple snapshot");
  auto* store = block::facet<block::SnapshotStore>(*out[0]);
  if (store == nullptr)
    return failf(
        ErrorKind::Unsupported,
        "Failed to load snapshot: Block format '{}' used by device '' does not support temporarily loading "
        "internal snapshots",
        out[0]->driver().name());
  const auto loaded = store->read_from_snapshot(TRY(snapshot_name(*store, r.snapshot)));
  if (!loaded) return fail(ErrorKind::NotFound, "Failed to load snapshot: Can't find snapshot");
  return out;
}

Result<> create_target(const Request& r, const std::string& name, uint64_t size) {
  NewImage fresh;
  fresh.filename = name;
  fresh.format = r.output_format;
  fresh.backing_file = r.backing_file;
  fresh.backing_format = r.backing_format;
  fresh.options = r.options;
  fresh.size = size;
  fresh.for_convert = true;
  return create_image(fresh, true);
}

// With the secret that an encrypted target was made with.
Result<std::unique_ptr<block::ImageNode>> open_target(const Request& r, const std::string& name) {
  config::KeyValues secrets;
  if (const auto* driver = block::find_format(r.output_format); driver != nullptr && !r.target_image_opts) {
    block::CreateValues values;  // what is wrong in them create_target() said
    if (values.parse(r.options, img::option_table(*driver, name))) {
      for (const char* key : {"key-secret", "encrypt.key-secret"}) {
        if (values.has(key)) secrets.push_back({key, values.text(key)});
      }
    }
  }
  ImageArguments arguments;
  arguments.format = r.target_image_opts ? "" : r.output_format;
  arguments.image_opts = r.target_image_opts;
  arguments.cache = r.cache;
  block::OpenFlags flags;
  flags.writable = true;
  return open_named(name, arguments, flags, "unsafe", false, secrets);
}

Result<> copy_all(const Request& r, const Images& sources, block::ImageNode& target, bool fresh,
                  const std::atomic<bool>& cancel) {
  std::vector<block::ImageNode*> nodes;
  for (const auto& source : sources) nodes.push_back(source.get());
  Progress progress(r.progress, r.quiet);
  block::ConvertOptions options;
  options.workers = r.workers;
  options.out_of_order = r.out_of_order;
  options.compress = r.compress;
  options.sparse_size = r.copy_offload ? 0 : r.sparse_size;
  options.target_has_backing = target.backing() != nullptr;
  options.target_is_zero =
      (fresh && !options.target_has_backing && target.fresh_reads_as_zeros()) || r.target_is_zero;
  options.copy_offload = r.copy_offload;
  options.salvage = r.salvage;
  options.rate_limit = r.rate_limit;
  options.cancel = &cancel;
  options.progress = [&progress](uint64_t done, uint64_t total) { progress.report(done, total); };
  options.salvaged = [&r](uint64_t offset, const Error& error) {
    if (!r.quiet) warn_line(fmt::format("error while reading at byte {}: {}", offset, error.message()));
  };
  TRY(block::convert(nodes, target, options));
  if (r.bitmaps) TRY(copy_bitmaps(*sources[0], target));
  TRY(target.close());
  progress.finish();
  return {};
}

Result<> check_target_bitmaps(block::ImageNode& target) {
  const auto* store = block::facet<block::BitmapStore>(target);
  if (store == nullptr || !store->keeps_bitmaps())
    return failf(ErrorKind::Unsupported, "Format driver '{}' does not support bitmaps",
                 target.driver().name());
  return {};
}

Result<> convert_into(const Request& r, const Images& sources, const std::string& name, bool& made,
                      const std::atomic<bool>& cancel) {
  uint64_t size = 0;
  for (const auto& source : sources) size += (source->size() + 511) / 512 * 512;
  if (sources.size() == 1) size = sources[0]->size();
  if (!r.skip_create) {
    const block::FormatDriver* driver = block::find_format(r.output_format);
    if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown file format '{}'", r.output_format);
    block::CreateValues values;  // what is wrong in them create_target() says
    const bool good = values.parse(r.options, img::option_table(*driver, name)).has_value();
    if (r.compress && good && (values.flag("encryption", false) || values.has("encrypt.format")))
      return fail(ErrorKind::Invalid, "Compression and encryption not supported at the same time");
    if (r.compress && good && values.text("preallocation", "off") != "off")
      return fail(ErrorKind::Invalid, "Compression and preallocation not supported at the same time");
    TRY(create_target(r, name, size));
    made = true;
  }
  auto target = TRY(open_target(r, name));
  if (r.compress && block::facet<block::CompressedWriter>(*target) == nullptr)
    return fail(ErrorKind::Unsupported, "Compression not supported for this file format");
  if (r.bitmaps) TRY(check_target_bitmaps(*target));
  // Formats may round; what is missing must be the rest of a sector.
  if (target->size() / 512 * 512 < size / 512 * 512)
    return fail(ErrorKind::Invalid, "output file is smaller than input file");
  return copy_all(r, sources, *target, made, cancel);
}

}  // namespace

Result<int> run_convert(Words words) {
  Request r;
  auto names = TRY(parse_arguments(words, option_table(r)));
  if (asks_for_options_help(r.options)) {
    print(TRY(
        options_help(r.output_format.empty() ? "raw" : r.output_format, names.empty() ? "" : names.back())));
    return 0;
  }
  TRY(check_request(r));
  if (r.output_format.empty()) r.output_format = "raw";
  if (names.size() < 2) return fail(ErrorKind::Invalid, "Must specify image file name");
  const std::string output = names.back();
  names.pop_back();
  const Images sources = TRY(open_sources(r, names));
  if (r.bitmaps && sources.size() > 1)
    return fail(ErrorKind::Invalid, "Copying bitmaps only possible with single source");
  if (r.bitmaps) TRY(check_bitmaps(*sources[0], r.skip_broken_bitmaps));
  const std::atomic<bool>& cancel = watch_interrupts();
  bool made = false;
  const auto done = convert_into(r, sources, output, made, cancel);
  if (done) return 0;
  // A target that is half made helps nobody; one that was there before is not ours to remove.
  const bool keep = r.skip_create || !made;
  if (!keep) block::remove_created_file(output);
  if (done.error().kind() == ErrorKind::Cancelled) die_interrupted();
  return std::unexpected(done.error());
}

}  // namespace rhea::img
