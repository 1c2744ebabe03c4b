#include "tools/img/info.h"

#include <fmt/core.h>

#include <ctime>
#include <set>

#include "base/failf.h"
#include "base/sizes.h"
#include "block/driver.h"
#include "block/protocols/protocol.h"
#include "tools/img/command.h"
#include "tools/img/common.h"

namespace rhea::img {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

std::string date_text(uint64_t seconds) {
  const auto when = static_cast<time_t>(seconds);
  struct tm parts {};
  if (::localtime_r(&when, &parts) == nullptr) return "";
  char text[32];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return {text, size};
}

std::string clock_text(uint64_t ns) {
  const uint64_t seconds = ns / kNsPerSecond;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60,
                     ns / 1'000'000 % 1000);
}

std::optional<uint64_t> actual_size(const block::ImageNode& image, const block::ImageInfo& info) {
  if (info.actual_size) return info.actual_size;
  const auto* file = dynamic_cast<const block::ProtocolNode*>(&image.file());
  return file != nullptr ? file->allocated_bytes() : std::nullopt;
}

// The file's name; in full where an option belongs to the name, as that of a secret does.
std::string shown_name(const block::ImageNode& image, const std::string& secret) {
  const auto* file = dynamic_cast<const block::ProtocolNode*>(&image.file());
  const std::string name = file != nullptr ? file->filename() : image.filename();
  if (secret.empty()) return name;
  const std::string format(image.driver().name());
  block::Value::Dict below;
  below.emplace_back("driver", "file");
  below.emplace_back("filename", name);
  block::Value::Dict all;
  if (format == "qcow2") all.emplace_back("encrypt.key-secret", secret);
  all.emplace_back("driver", format);
  all.emplace_back("file", std::move(below));
  if (format == "luks") all.emplace_back("key-secret", secret);
  return "json:" + block::to_compact_json(block::Value(std::move(all)));
}

// The option of `options` that names a secret.
std::string secret_in(const std::string& options) {
  auto name = block::image_name_from_options(options);
  if (!name) return "";
  for (const char* key : {"key-secret", "encrypt.key-secret"}) {
    if (const auto value = config::take(name->options, key)) return *value;
  }
  return "";
}

block::Value snapshot_value(const block::SnapshotInfo& snapshot) {
  block::Value::Dict out;
  if (snapshot.icount) out.emplace_back("icount", *snapshot.icount);
  out.emplace_back("vm-clock-nsec", snapshot.vm_clock_ns % kNsPerSecond);
  out.emplace_back("name", snapshot.name);
  out.emplace_back("date-sec", snapshot.date_s);
  out.emplace_back("date-nsec", snapshot.date_ns);
  out.emplace_back("vm-clock-sec", snapshot.vm_clock_ns / kNsPerSecond);
  out.emplace_back("id", snapshot.id);
  out.emplace_back("vm-state-size", snapshot.vm_state_size);
  return out;
}

}  // namespace

std::string snapshot_table(const std::vector<block::SnapshotInfo>& snapshots) {
  std::string out = "Snapshot list:\n";
  out += fmt::format("{:<10}{:<17}{:>8}{:>20}{:>13}{:>11}\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
                     "ICOUNT");
  for (const block::SnapshotInfo& snapshot : snapshots) {
    out += fmt::format("{:<9} {:<16} {:>8} {:>19} {:>12} {:>10}\n", snapshot.id, snapshot.name,
                       human_size(snapshot.vm_state_size), date_text(snapshot.date_s),
                       clock_text(snapshot.vm_clock_ns),
                       snapshot.icount ? std::to_string(*snapshot.icount) : std::string());
  }
  return out;
}

std::string info_text(const block::ImageNode& image, const std::string& name) {
  const block::ImageInfo info = image.info();
  const auto actual = actual_size(image, info);
  std::string out =
      fmt::format("image: {}\nfile format: {}\nvirtual size: {}\ndisk size: {}\n", name, image.shown_format(),
                  human_size_exact(image.size()), actual ? human_size(*actual) : "unavailable");
  if (info.encrypted) out += "encrypted: yes\n";
  if (info.cluster_size) out += fmt::format("cluster_size: {}\n", *info.cluster_size);
  if (info.dirty) out += "cleanly shut down: no\n";
  const block::BackingReference backing = image.backing_reference();
  if (!backing.file.empty()) {
    const std::string path = block::backing_path(image.filename(), backing.file);
    out += fmt::format("backing file: {}", backing.file);
    out += path != backing.file ? fmt::format(" (actual path: {})\n", path) : "\n";
    if (!backing.format.empty()) out += fmt::format("backing file format: {}\n", backing.format);
  }
  if (!info.snapshots.empty()) out += snapshot_table(info.snapshots);
  if (!info.specific.empty()) out += "Format specific information:\n" + block::to_text(info.specific, 1);
  return out;
}

block::Value info_value(const block::ImageNode& image, const std::string& name) {
  const block::ImageInfo info = image.info();
  const block::BackingReference backing = image.backing_reference();
  const auto actual = actual_size(image, info);
  block::Value::Dict out;
  if (!info.snapshots.empty()) {
    block::Value::List list;
    for (const block::SnapshotInfo& snapshot : info.snapshots) list.push_back(snapshot_value(snapshot));
    out.emplace_back("snapshots", std::move(list));
  }
  if (!backing.format.empty()) out.emplace_back("backing-filename-format", backing.format);
  out.emplace_back("virtual-size", image.size());
  out.emplace_back("filename", name);
  if (info.cluster_size) out.emplace_back("cluster-size", *info.cluster_size);
  out.emplace_back("format", std::string(image.shown_format()));
  if (actual) out.emplace_back("actual-size", *actual);
  if (!info.specific.empty()) {
    block::Value::Dict specific;
    specific.emplace_back("type", std::string(image.driver().name()));
    specific.emplace_back("data", info.specific);
    out.emplace_back("format-specific", std::move(specific));
  }
  if (!backing.file.empty()) {
    out.emplace_back("full-backing-filename", block::backing_path(image.filename(), backing.file));
    out.emplace_back("backing-filename", backing.file);
  }
  if (info.encrypted) out.emplace_back("encrypted", true);
  if (info.has_dirty_flag) out.emplace_back("dirty-flag", info.dirty);
  return out;
}

Result<int> run_info(Words words) {
  ImageArguments image;
  Output output = Output::Human;
  bool chain = false;
  const std::vector<Option> options = {help_option(),
                                       format_option(image),
                                       image_opts_option(image),
                                       force_share_option(image),
                                       object_option(),
                                       output_option(output),
                                       flag_option(0, "backing-chain", chain)};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  TRY(check_image_arguments(image));

  std::string text;
  block::Value::List list;
  std::string filename = names[0];
  std::set<std::string> seen;
  // One image at a time, each opened without what backs it: a missing base is told after those before it.
  do {
    if (!seen.insert(filename).second)
      return failf(ErrorKind::Invalid, "Backing file '{}' creates an infinite loop.", filename);
    block::OpenFlags flags;
    flags.no_backing = true;
    flags.only_look = true;
    const auto node = TRY(open_named(filename, image, flags, "writeback"));
    if (!text.empty()) text += "\n";
    const std::string name = shown_name(*node, image.image_opts ? secret_in(filename) : "");
    text += info_text(*node, name);
    list.push_back(info_value(*node, name));
    filename.clear();
    const block::BackingReference backing = node->backing_reference();
    if (chain && !backing.file.empty()) filename = block::backing_path(node->filename(), backing.file);
    image.format = backing.format;
    image.image_opts = false;
  } while (!filename.empty());
  if (output == Output::Human) {
    print(text);
  } else {
    print(block::to_json(chain ? block::Value(std::move(list)) : list.front()) + "\n");
  }
  return 0;
}

}  // namespace rhea::img
