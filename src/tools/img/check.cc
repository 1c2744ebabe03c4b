// check: is the image's metadata consistent, and can it be mended.
#include <fmt/core.h>

#include <cstdio>

#include "base/failf.h"
#include "base/log.h"
#include "block/facets.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

constexpr int kCorrupt = 2;
constexpr int kLeaks = 3;
constexpr int kUnsupported = 63;

std::string report_text(const block::CheckReport& r) {
  std::string out;
  if (r.corruptions == 0 && r.leaks == 0 && r.check_errors == 0) {
    out += "No errors were found on the image.\n";
  } else {
    if (r.corruptions != 0)
      out += fmt::format(
          "\n{} errors were found on the image.\nData may be corrupted, or further writes to the image may "
          "corrupt "
          "it.\n",
          r.corruptions);
    if (r.leaks != 0)
      out += fmt::format(
          "\n{} leaked clusters were found on the image.\nThis means waste of disk space, but no harm to "
          "data.\n",
          r.leaks);
    if (r.check_errors != 0)
      out += fmt::format("\n{} internal errors have occurred during the check.\n", r.check_errors);
  }
  if (r.total_clusters != 0 && r.allocated_clusters != 0) {
    const auto percent = [](uint64_t part, uint64_t whole) {
      return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    };
    out +=
        fmt::format("{}/{} = {:.2f}% allocated, {:.2f}% fragmented, {:.2f}% compressed clusters\n",
                    r.allocated_clusters, r.total_clusters, percent(r.allocated_clusters, r.total_clusters),
                    percent(r.fragmented_clusters, r.allocated_clusters),
                    percent(r.compressed_clusters, r.allocated_clusters));
  }
  if (r.image_end_offset != 0) out += fmt::format("Image end offset: {}\n", r.image_end_offset);
  return out;
}

block::Value report_value(const block::CheckReport& r, const block::ImageNode& image,
                          const std::string& name) {
  block::Value::Dict out;
  const auto add = [&out](const char* key, uint64_t value) {
    if (value != 0) out.emplace_back(key, value);
  };
  add("image-end-offset", r.image_end_offset);
  add("compressed-clusters", r.compressed_clusters);
  add("total-clusters", r.total_clusters);
  add("corruptions-fixed", r.corruptions_fixed);
  add("corruptions", r.corruptions);
  out.emplace_back("check-errors", r.check_errors);
  add("leaks-fixed", r.leaks_fixed);
  add("leaks", r.leaks);
  add("allocated-clusters", r.allocated_clusters);
  out.emplace_back("filename", name);
  out.emplace_back("format", std::string(image.driver().name()));
  add("fragmented-clusters", r.fragmented_clusters);
  return out;
}

void show_messages(const block::CheckReport& report, bool quiet) {
  std::fflush(stdout);
  for (const std::string& line : report.messages) {
    if (!quiet) fmt::print(stderr, "{}\n", line);
  }
}

int exit_status(const block::CheckReport& r) {
  if (r.corruptions != 0) return kCorrupt;
  if (r.leaks != 0) return kLeaks;
  return r.check_errors != 0 ? 1 : 0;
}

}  // namespace

Result<int> run_check(Words words) {
  ImageArguments image;
  image.cache_name = "source cache";
  Output output = Output::Human;
  block::Repair repair = block::Repair::None;
  bool quiet = false;
  const std::vector<Option> options = {
      help_option(),
      format_option(image),
      image_opts_option(image),
      force_share_option(image),
      object_option(),
      output_option(output),
      cache_option('T', image.cache),
      flag_option('q', "quiet", quiet),
      {'r', "repair", true, [&repair](const std::string& value) -> Result<> {
         if (value != "leaks" && value != "all")
           return usage(fmt::format("Unknown option value for -r (expecting 'leaks' or 'all'): {}", value));
         repair = value == "all" ? block::Repair::All : block::Repair::Leaks;
         return {};
       }}};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  TRY(check_image_arguments(image));
  block::OpenFlags flags;
  flags.for_check = true;
  flags.writable = repair != block::Repair::None;
  flags.no_backing = true;
  const auto node = TRY(open_named(names[0], image, flags, "writeback", quiet));
  auto* checker = block::facet<block::Checker>(*node);
  if (checker == nullptr) {
    if (!quiet) error_line("This image format does not support checks");
    return kUnsupported;
  }
  block::CheckReport report = TRY_IN(checker->check(repair), "Check failed");
  show_messages(report, quiet);
  if (report.corruptions_fixed != 0 || report.leaks_fixed != 0) {
    if (output == Output::Human && !quiet)
      print(
          fmt::format("The following inconsistencies were found and repaired:\n\n    {} leaked clusters\n    "
                      "{} corruptions\n\n"
                      "Double checking the fixed image now...\n",
                      report.leaks_fixed, report.corruptions_fixed));
    block::CheckReport again = TRY_IN(checker->check(block::Repair::None), "Check failed");
    show_messages(again, quiet);
    again.leaks_fixed = report.leaks_fixed;
    again.corruptions_fixed = report.corruptions_fixed;
    report = std::move(again);
  }
  if (flags.writable) TRY(node->close());
  if (!quiet && output == Output::Human) print(report_text(report));
  if (!quiet && output == Output::Json) print(block::to_json(report_value(report, *node, names[0])) + "\n");
  return exit_status(report);
}

}  // namespace rhea::img
