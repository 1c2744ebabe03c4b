// See drive_spec.h.
#include "tools/system/setup/drive_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/failf.h"

namespace rhea::system {
namespace {

constexpr unsigned kPlain = 0;  // interfaces without buses count units only

const char* word_of(DriveInterface interface) {
  switch (interface) {
    case DriveInterface::Ide: return "ide";
    case DriveInterface::Floppy: return "floppy";
    case DriveInterface::Virtio: return "virtio";
    case DriveInterface::Pflash: return "pflash";
    case DriveInterface::None: return "none";
  }
  return "";
}

DriveInterface interface_of(const std::string& word) {
  for (const auto interface :
       {DriveInterface::Floppy, DriveInterface::Virtio, DriveInterface::Pflash, DriveInterface::None}) {
    if (word == word_of(interface)) return interface;
  }
  return DriveInterface::Ide;
}

// "ide0-hd0", "ide1-cd0", "virtio0", "floppy1": as QEMU names them.
std::string default_id(const DriveSpec& spec) {
  const char* media = "";
  if (spec.interface == DriveInterface::Ide) media = spec.cdrom ? "-cd" : "-hd";
  if (spec.interface == DriveInterface::Ide)
    return fmt::format("{}{}{}{}", word_of(spec.interface), spec.bus, media, spec.unit);
  if (spec.cdrom && spec.interface != DriveInterface::Floppy) media = "-cd";
  return fmt::format("{}{}{}", word_of(spec.interface), media, spec.unit);
}

block::ErrorPolicy policy_of(const std::string& word) {
  if (word == "ignore") return block::ErrorPolicy::Ignore;
  if (word == "stop") return block::ErrorPolicy::Stop;
  return word == "enospc" ? block::ErrorPolicy::Enospc : block::ErrorPolicy::Report;
}

Result<> set_cache(const DriveFields& fields, DriveSpec& spec) {
  const std::string mode = fields.cache.value_or("writeback");
  bool writeback = mode == "none" || mode == "writeback" || mode == "unsafe";
  bool direct = mode == "none" || mode == "directsync";
  bool no_flush = mode == "unsafe";
  writeback = fields.cache_writeback.value_or(writeback);
  direct = fields.cache_direct.value_or(direct);
  no_flush = fields.cache_no_flush.value_or(no_flush);
  if (direct && no_flush)
    return fail(ErrorKind::Unsupported, "cache.direct=on and cache.no-flush=on exclude each other here");
  if (fields.aio == "native" && !direct) {
    return fail(ErrorKind::Invalid,
                "aio=native was specified, but it requires cache.direct=on, which was not specified.");
  }
  spec.config.write_cache = writeback;
  spec.medium.direct = direct;
  spec.medium.engine =
      block::parse_file_engine(fields.aio.value_or("threads")).value_or(block::FileEngine::Threads);
  spec.medium.no_flush = no_flush;
  return {};
}

Result<> set_zeroes(const DriveFields& fields, block::DriveConfig& config) {
  config.discard = fields.discard == "unmap" || fields.discard == "on";
  if (fields.detect_zeroes == "on") config.detect_zeroes = block::DetectZeroes::On;
  if (fields.detect_zeroes != "unmap") return {};
  if (!config.discard) {
    return fail(ErrorKind::Invalid,
                "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap");
  }
  config.detect_zeroes = block::DetectZeroes::Unmap;
  return {};
}

}  // namespace

unsigned DrivePlaces::units_of(DriveInterface interface) const {
  return interface == DriveInterface::Ide ? ide_units_ : kPlain;
}

bool DrivePlaces::taken(DriveInterface interface, unsigned bus, unsigned unit) const {
  return std::ranges::find(places_, Place{interface, bus, unit}) != places_.end();
}

// index= counts through the buses; without any of them the first free place.
Result<> DrivePlaces::choose_place(const DriveFields& fields, DriveSpec& spec) {
  const unsigned units = units_of(spec.interface);
  spec.bus = fields.bus.value_or(0);
  spec.unit = fields.unit.value_or(0);
  if (fields.index) {
    if (fields.bus || fields.unit) return fail(ErrorKind::Invalid, "index cannot be used with bus and unit");
    spec.bus = units == kPlain ? 0 : *fields.index / units;
    spec.unit = units == kPlain ? *fields.index : *fields.index % units;
  } else if (!fields.unit) {
    while (taken(spec.interface, spec.bus, spec.unit)) {
      if (++spec.unit != units || units == kPlain) continue;
      spec.unit = 0;
      spec.bus++;
    }
  }
  if (units != kPlain && spec.unit >= units)
    return failf(ErrorKind::Invalid, "unit {} too big (max is {})", spec.unit, units - 1);
  if (taken(spec.interface, spec.bus, spec.unit))
    return failf(ErrorKind::Busy, "drive with bus={}, unit={} (index={}) exists", spec.bus, spec.unit,
                 units == kPlain ? spec.unit : spec.bus * units + spec.unit);
  const bool exists = spec.interface == DriveInterface::Ide      ? spec.bus < ide_buses_
                      : spec.interface == DriveInterface::Floppy ? spec.bus == 0 && spec.unit < 2
                      : spec.interface == DriveInterface::Pflash ? spec.bus == 0 && spec.unit < 2
                                                                 : true;
  if (!exists)
    return failf(ErrorKind::Invalid, "machine type does not support if={},bus={},unit={}",
                 word_of(spec.interface), spec.bus, spec.unit);
  places_.push_back({spec.interface, spec.bus, spec.unit});
  return {};
}

Result<> DrivePlaces::set_throttle(const DriveFields& fields, block::DriveConfig& config) {
  block::ThrottleLimits limits;
  block::ThrottleLimit* const all[6] = {&limits.bytes_total, &limits.bytes_read, &limits.bytes_write,
                                        &limits.ops_total,   &limits.ops_read,   &limits.ops_write};
  for (size_t i = 0; i < 6; ++i) {
    all[i]->average = static_cast<double>(fields.average[i].value_or(0));
    all[i]->max = static_cast<double>(fields.max[i].value_or(0));
    all[i]->burst_length = fields.length[i].value_or(1);
  }
  limits.ops_size = fields.iops_size.value_or(0);
  TRY(limits.check());
  if (!limits.any() && !fields.throttle_group) return {};
  config.throttle_group = fields.throttle_group.value_or(config.id);
  std::shared_ptr<block::Throttle>& group = groups_[config.throttle_group];
  if (!group) group = std::make_shared<block::Throttle>();
  if (limits.any()) group->set_limits(limits, 0);
  config.throttle = group;
  return {};
}

Result<DriveSpec> DrivePlaces::drive(const StorageOptions::Named& option, bool snapshot) {
  config::KeyValues rest = option.values;
  for (const config::KeyValue& entry : rest) {
    if (entry.key != "if" || !entry.value) continue;
    for (const char* later : {"scsi", "sd", "mtd", "xen"}) {
      if (*entry.value == later) return failf(ErrorKind::Unsupported, "if={} is not supported yet", later);
    }
  }
  const DriveFields fields = TRY(take_drive_fields(rest));
  DriveSpec spec;
  spec.interface = interface_of(fields.interface);
  spec.cdrom = fields.media == "cdrom";
  TRY(choose_place(fields, spec));
  spec.config.id = fields.id.value_or(default_id(spec));
  spec.config.node_name = fields.node_name.value_or("");
  spec.config.serial = fields.serial.value_or("");
  spec.config.cdrom = spec.cdrom;
  spec.config.on_write_error = policy_of(fields.werror);
  spec.config.on_read_error = policy_of(fields.rerror);
  TRY(set_cache(fields, spec));
  TRY(set_zeroes(fields, spec.config));
  TRY(set_throttle(fields, spec.config));
  spec.medium.name.filename = fields.file.value_or("");
  spec.medium.name.format = fields.format.value_or("");
  spec.medium.name.options = std::move(rest);
  spec.has_image = !spec.medium.name.filename.empty() || !spec.medium.name.options.empty();
  spec.medium.read_only = fields.readonly.value_or(spec.cdrom);
  if (spec.cdrom && !spec.medium.read_only)
    return fail(ErrorKind::Invalid, "a CD-ROM cannot be written: readonly=off contradicts media=cdrom");
  spec.medium.auto_read_only = fields.auto_read_only.value_or(false);
  spec.medium.snapshot = fields.snapshot.value_or(snapshot) && !spec.medium.read_only;
  return spec;
}

namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

// What is said of the node below about the file itself, without its prefix.
config::KeyValues take_lower_keys(config::KeyValues& values) {
  constexpr std::string_view kBelow = "file.";
  config::KeyValues lower;
  std::erase_if(values, [&](const config::KeyValue& entry) {
    if (!entry.key.starts_with(kBelow)) return false;
    const std::string key = entry.key.substr(kBelow.size());
    if (!is_one_of(key, {"auto-read-only", "cache.direct", "cache.no-flush", "discard"})) return false;
    lower.push_back({key, entry.value});
    return true;
  });
  return lower;
}

// Backing images are only read, whatever programs say of writing to them.
void drop_backing_keys(config::KeyValues& values) {
  std::erase_if(values, [](const config::KeyValue& entry) {
    if (!entry.key.starts_with("backing.")) return false;
    const std::string key = entry.key.substr(entry.key.rfind('.') + 1);
    return is_one_of(key, {"auto-read-only", "discard", "detect-zeroes", "no-flush"}) ||
           (key == "read-only" && entry.value == "on");
  });
}

}  // namespace

Result<DriveSpec> DrivePlaces::blockdev(config::KeyValues values) {
  const auto name = config::take(values, "node-name");
  if (!name || name->empty())
    return fail(ErrorKind::Invalid, "'node-name' must be specified for the root node");
  config::KeyValues known;
  std::erase_if(values, [&known](const config::KeyValue& entry) {
    for (const char* key : {"cache.direct", "cache.no-flush", "discard", "detect-zeroes", "read-only",
                            "auto-read-only", "aio"}) {
      if (entry.key != key) continue;
      known.push_back(entry);
      return true;
    }
    return false;
  });
  DriveFields fields = TRY(take_drive_fields(known));
  config::KeyValues below = take_lower_keys(values);
  const bool discards_below = std::ranges::find(below, "discard", &config::KeyValue::key) == below.end();
  const DriveFields lower = TRY(take_drive_fields(below));
  if (lower.cache_direct) fields.cache_direct = lower.cache_direct;
  if (lower.cache_no_flush) fields.cache_no_flush = lower.cache_no_flush;
  if (lower.auto_read_only) fields.auto_read_only = lower.auto_read_only;
  if (!discards_below && lower.discard == "ignore") fields.discard = "ignore";
  drop_backing_keys(values);
  DriveSpec spec;
  spec.config.id = *name;
  spec.config.node_name = *name;
  spec.has_image = true;
  TRY(set_cache(fields, spec));
  TRY(set_zeroes(fields, spec.config));
  spec.medium.read_only = fields.readonly.value_or(false);
  spec.medium.auto_read_only = fields.auto_read_only.value_or(false);
  spec.medium.name.options = std::move(values);
  return spec;
}

namespace {

std::string name_of(const StorageOptions::Named& node) {
  config::KeyValues copy = node.values;
  return config::take(copy, "node-name").value_or("");
}

}  // namespace

Result<NodeTree> whole_tree(const std::vector<StorageOptions::Named>& nodes, const config::KeyValues& node) {
  NodeTree out;
  // Each reference is replaced by what it names, again and again; a circle never ends and is found so.
  config::KeyValues left = node;
  for (size_t steps = 0; !left.empty(); ++steps) {
    if (steps > 10'000) return fail(ErrorKind::Invalid, "its nodes name each other in a circle");
    const config::KeyValue entry = left.front();
    left.erase(left.begin());
    const std::string last = entry.key.substr(entry.key.rfind('.') + 1);
    const bool is_child = (last == "file" || last == "backing") && entry.value;
    if (!is_child) {
      out.values.push_back(entry);
      continue;
    }
    const auto child = std::ranges::find_if(
        nodes, [&](const auto& known) { return !entry.value->empty() && name_of(known) == *entry.value; });
    if (child == nodes.end())
      return failf(ErrorKind::NotFound, "Cannot find device='{0}' nor node-name='{0}'", *entry.value);
    out.names.insert(*entry.value);
    for (const config::KeyValue& below : child->values) {
      if (below.key != "node-name") left.push_back({entry.key + "." + below.key, below.value});
    }
  }
  return out;
}

Result<std::vector<StorageOptions::Named>> join_blockdevs(const std::vector<StorageOptions::Named>& nodes) {
  std::vector<StorageOptions::Named> out;
  std::set<std::string> used;
  for (const StorageOptions::Named& node : nodes) {
    NodeTree tree = TRY_IN(whole_tree(nodes, node.values), node.option);
    used.insert(tree.names.begin(), tree.names.end());
    out.push_back({node.option, std::move(tree.values)});
  }
  std::erase_if(out, [&](const StorageOptions::Named& node) { return used.contains(name_of(node)); });
  return out;
}

}  // namespace rhea::system
