// See live_storage.h.
#include "tools/system/setup/live_storage.h"

#include <algorithm>
#include <cstdio>

#include "base/failf.h"
#include "block/protocols/protocols.h"

namespace rhea::system {
namespace {

using block::Drive;
using monitor::SlowWork;

// What the worker has to tell.
struct Opened {
  Result<block::Medium> medium = fail(ErrorKind::NotFound, "not opened");
  std::shared_ptr<const block::Closings> closings;  // waited for: a closed image may be wanted again
};

// The kinds of -drive if= by QEMU's numbers, which its message shows.
Result<> check_interface(const config::KeyValues& values) {
  constexpr const char* kNames[] = {"none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen"};
  std::string word = "ide";
  for (const config::KeyValue& entry : values) {
    if (entry.key == "if" && entry.value) word = *entry.value;
  }
  const auto at = std::ranges::find(kNames, word);
  if (at == std::end(kNames) || word == "none") return {};
  return failf(ErrorKind::Unsupported, "Can't hot-add drive to type {}", at - std::begin(kNames));
}

bool only_says_where(const config::KeyValues& values) {
  config::KeyValues copy = values;
  return block::protocol_by_driver(config::take(copy, "driver").value_or("")).has_value();
}

std::string name_in(const config::KeyValues& values) {
  config::KeyValues copy = values;
  return config::take(copy, "node-name").value_or("");
}

}  // namespace

void LiveStorage::fill_in(monitor::Context& context) {
  context.drive_add = [this](const std::string& words, bool node) -> Result<SlowWork> {
    if (!node) return add_drive(words);
    return add_node(TRY(config::split_options(words, "driver")));
  };
  context.blockdev_add = [this](config::KeyValues values) { return add_node(std::move(values)); };
  context.drive_del = [this](const std::string& id) { return remove_drive(id); };
  context.blockdev_del = [this](const std::string& name) { return remove_node(name); };
}

Result<SlowWork> LiveStorage::add_drive(const std::string& words) {
  const config::KeyValues values = TRY(config::split_options(words, ""));
  TRY(check_interface(values));
  DriveSpec spec = TRY(places_.drive({"", values}, snapshot_));
  const auto& all = drives_.all();
  const auto same = [&](const auto& drive) { return drive->id() == spec.config.id; };
  if (std::ranges::any_of(all, same))
    return failf(ErrorKind::Busy, "Duplicate ID '{}' for drive", spec.config.id);
  auto opened = std::make_shared<Opened>();
  opened->closings = drives_.closings();
  auto shared = std::make_shared<DriveSpec>(std::move(spec));
  return SlowWork{
      .work =
          [opened, shared] {
            opened->closings->wait();
            opened->medium = shared->has_image ? block::open_medium(shared->medium) : block::Medium{};
          },
      .then = [this, opened, shared]() -> Result<> {
        if (!opened->medium) {
          return std::unexpected(
              std::move(opened->medium).error().in("Could not open '" + shared->medium.name.filename + "'"));
        }
        if (opened->medium->probed && !opened->medium->read_only)
          std::fputs(block::raw_guess_warning(opened->medium->filename).c_str(), stderr);
        TRY(drives_.add(shared->config, std::move(*opened->medium)));
        return {};
      }};
}

StorageOptions::Named* LiveStorage::node(const std::string& name) {
  const auto at =
      std::ranges::find_if(nodes_, [&](const auto& known) { return name_in(known.values) == name; });
  return at == nodes_.end() ? nullptr : &*at;
}

bool LiveStorage::is_below(const std::string& name) const {
  return std::ranges::any_of(nodes_, [&](const auto& above) {
    const auto tree = whole_tree(nodes_, above.values);
    return tree && tree->names.contains(name);
  });
}

void LiveStorage::lend(const std::set<std::string>& names) {
  for (const std::string& name : names) {
    if (Drive* below = drives_.find(name); below != nullptr) drives_.remove(*below);
  }
}

SlowWork LiveStorage::until_closed() const {
  return {.work = [closings = drives_.closings()] { closings->wait(); }, .then = [] { return Result<>(); }};
}

Result<SlowWork> LiveStorage::add_node(config::KeyValues values) {
  const std::string name = name_in(values);
  if (name.empty()) return fail(ErrorKind::Invalid, "'node-name' must be specified for the root node");
  if (node(name) != nullptr || drives_.find(name) != nullptr)
    return failf(ErrorKind::Busy, "Duplicate nodes with node-name='{}'", name);
  const NodeTree tree = TRY(whole_tree(nodes_, values));
  for (const std::string& below : tree.names) {
    const Drive* drive = drives_.find(below);
    if (drive != nullptr && drive->attached()) return failf(ErrorKind::Busy, "Node '{}' is in use", below);
  }
  auto spec = std::make_shared<DriveSpec>(TRY(places_.blockdev(tree.values)));
  const bool lazy = only_says_where(values);
  if (lazy) spec->medium.read_only = true;  // a look
  auto opened = std::make_shared<Opened>();
  opened->closings = drives_.closings();
  lend(tree.names);
  return SlowWork{.work =
                      [opened, spec, lazy] {
                        opened->closings->wait();
                        opened->medium = block::open_medium(spec->medium);
                        if (!lazy || !opened->medium) return;
                        static_cast<void>(opened->medium->image->close());
                        opened->medium = block::Medium{};
                      },
                  .then = [this, opened, spec, lazy, values, name]() -> Result<> {
                    if (!opened->medium) return std::unexpected(std::move(opened->medium).error());
                    if (node(name) != nullptr)
                      return failf(ErrorKind::Busy, "Duplicate nodes with node-name='{}'", name);
                    if (!lazy) TRY(drives_.add(spec->config, std::move(*opened->medium)));
                    nodes_.push_back({"blockdev-add", values});
                    return {};
                  }};
}

Result<Drive*> LiveStorage::find(const std::string& name) {
  if (Drive* drive = drives_.find(name); drive != nullptr) return drive;
  const StorageOptions::Named* known = node(name);
  if (known == nullptr || is_below(name)) return failf(ErrorKind::NotFound, "there is no drive '{}'", name);
  const NodeTree tree = TRY(whole_tree(nodes_, known->values));
  const DriveSpec spec = TRY(places_.blockdev(tree.values));
  block::Medium medium = TRY(block::open_medium(spec.medium));
  return drives_.add(spec.config, std::move(medium));
}

Result<SlowWork> LiveStorage::remove_drive(const std::string& id) {
  Drive* drive = drives_.find(id);
  if (drive == nullptr) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
  if (drive->is_node()) return remove_node(id);
  if (drive->attached()) {
    drive->abandon();
  } else {
    drives_.remove(*drive);
  }
  return until_closed();
}

Result<SlowWork> LiveStorage::remove_node(const std::string& name) {
  StorageOptions::Named* known = node(name);
  if (known == nullptr) return failf(ErrorKind::NotFound, "Failed to find node with node-name='{}'", name);
  if (is_below(name)) return failf(ErrorKind::Busy, "Block device {} is in use", name);
  if (Drive* drive = drives_.find(name); drive != nullptr) {
    if (drive->attached()) return failf(ErrorKind::Busy, "Node {} is in use", name);
    drives_.remove(*drive);
  }
  nodes_.erase(nodes_.begin() + (known - nodes_.data()));
  return until_closed();
}

}  // namespace rhea::system
