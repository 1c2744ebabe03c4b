// snapshot: internal snapshots, listed, made, applied and deleted.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "base/failf.h"
#include "base/log.h"
#include "block/facets.h"
#include "config/key_values.h"
#include "tools/img/command.h"
#include "tools/img/common.h"
#include "tools/img/info.h"
#include "tools/img/snapshot_name.h"

namespace rhea::img {
namespace {

Result<> create_named(block::ImageNode& image, const std::string& name) {
  auto* store = block::facet<block::SnapshotStore>(image);
  if (store == nullptr)
    return failf(ErrorKind::Unsupported, "Could not create snapshot '{}': -95 (Operation not supported)",
                 name);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  block::SnapshotInfo info;
  info.name = name;
  info.date_s = static_cast<uint64_t>(us / 1'000'000);
  info.date_ns = static_cast<uint32_t>(us % 1'000'000 * 1000);
  info.icount = 0;
  const auto done = store->create_snapshot(std::move(info));
  if (!done)
    return failf(done.error().kind(), "Could not create snapshot '{}': {}", name, done.error().message());
  return {};
}

bool knows(const block::SnapshotStore& store, const std::string& name) {
  for (const block::SnapshotInfo& info : store.list_snapshots()) {
    if (info.id == name || info.name == name) return true;
  }
  return false;
}

Result<> apply_named(block::ImageNode& image, const std::string& name) {
  auto* store = block::facet<block::SnapshotStore>(image);
  if (store == nullptr)
    return failf(ErrorKind::Unsupported,
                 "Could not apply snapshot '{}': Block driver does not support snapshots", name);
  if (!knows(*store, name))
    return failf(ErrorKind::NotFound,
                 "Could not apply snapshot '{}': Failed to load snapshot: No such file or directory", name);
  const auto done = store->apply_snapshot(name);
  if (!done)
    return failf(done.error().kind(), "Could not apply snapshot '{}': {}", name, done.error().message());
  return {};
}

Result<> remove_named(block::ImageNode& image, const std::string& name) {
  auto* store = block::facet<block::SnapshotStore>(image);
  const auto is_named = [&](const block::SnapshotInfo& info) { return info.name == name; };
  // By its name alone, as qemu-img does.
  const auto all = store != nullptr ? store->list_snapshots() : std::vector<block::SnapshotInfo>();
  if (std::ranges::none_of(all, is_named))
    return failf(ErrorKind::NotFound, "Could not delete snapshot '{}': snapshot not found", name);
  const auto done = store->delete_snapshot(name);
  if (!done)
    return failf(done.error().kind(), "Could not delete snapshot '{}': {}", name, done.error().message());
  return {};
}

}  // namespace

Result<std::string> snapshot_name(const block::SnapshotStore& store, const std::string& text) {
  if (!text.starts_with("snapshot.")) return text;
  auto given = TRY(config::split_options(text, ""));
  const auto id = config::take(given, "snapshot.id");
  const auto name = config::take(given, "snapshot.name");
  if (!given.empty()) {
    error_line(fmt::format("Invalid parameter '{}'", given.front().key));
    return failf(ErrorKind::Invalid, "Failed in parsing snapshot param '{}'", text);
  }
  for (const block::SnapshotInfo& info : store.list_snapshots()) {
    if ((!id || info.id == *id) && (!name || info.name == *name)) return info.id;
  }
  return text;
}

Result<int> run_snapshot(Words words) {
  ImageArguments image;
  char action = 0;
  std::string name;
  bool quiet = false;
  const auto action_option = [&](char letter, bool takes_value) {
    return Option{letter, "", takes_value, [&action, &name, letter](const std::string& value) -> Result<> {
                    if (action != 0) return usage("Cannot mix '-l', '-a', '-c', '-d'");
                    action = letter;
                    name = value;
                    return {};
                  }};
  };
  const std::vector<Option> options = {help_option(),
                                       action_option('l', false),
                                       action_option('a', true),
                                       action_option('c', true),
                                       action_option('d', true),
                                       flag_option('q', "quiet", quiet),
                                       force_share_option(image),
                                       image_opts_option(image),
                                       object_option()};
  const auto names = TRY(parse_arguments(words, options));
  if (names.size() != 1) return usage("Expecting one image file name");
  block::OpenFlags flags;
  flags.writable = action != 0 && action != 'l';
  const auto node = TRY(open_named(names[0], image, flags, "writeback", quiet));
  if (action == 'l') {
    auto* store = block::facet<block::SnapshotStore>(*node);
    const auto list = store != nullptr ? store->list_snapshots() : std::vector<block::SnapshotInfo>();
    if (!list.empty()) print(snapshot_table(list));
    return 0;
  }
  if (action == 'c') TRY(create_named(*node, name));
  if (action == 'a') TRY(apply_named(*node, name));
  if (action == 'd') TRY(remove_named(*node, name));
  if (action != 0) TRY(node->close());
  return 0;
}

}  // namespace rhea::img
