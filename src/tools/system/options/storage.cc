#include "tools/system/options/storage.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {
namespace {

constexpr uint64_t kMostRate = 1'000'000'000'000'000;

struct LimitName {
  const char* dotted;
  const char* old;
};
constexpr LimitName kLimits[6] = {{"bps-total", "bps"},     {"bps-read", "bps_rd"},
                                  {"bps-write", "bps_wr"},  {"iops-total", "iops"},
                                  {"iops-read", "iops_rd"}, {"iops-write", "iops_wr"}};

// A member of one of the arrays.
template <class V>
config::Property element(std::string name, std::optional<V> (DriveFields::*array)[6], size_t index,
                         uint64_t most, std::string help) {
  config::Property out{
      std::move(name), "int", fmt::format("an integer from 0 to {}", most), std::move(help), false, {}, {}};
  out.set = [array, index, most](void* object, std::string_view text) -> Result<> {
    (static_cast<DriveFields*>(object)->*array)[index] =
        static_cast<V>(TRY(config::parse_size_between(text, 1, 0, most)));
    return {};
  };
  out.show = [](const void*) { return std::string(); };
  return out;
}

void add_limits(std::vector<config::Property>& to) {
  for (size_t i = 0; i < 6; ++i) {
    const std::string dotted = std::string("throttling.") + kLimits[i].dotted;
    const std::string old = kLimits[i].old;
    const std::string unit = i < 3 ? "bytes a second" : "operations a second";
    to.push_back(element(dotted, &DriveFields::average, i, kMostRate, unit + "; 0: no limit"));
    to.push_back(element(dotted + "-max", &DriveFields::max, i, kMostRate, unit + " in a burst"));
    to.push_back(element(dotted + "-max-length", &DriveFields::length, i, 1u << 30, "seconds of a burst"));
    to.push_back(element(old, &DriveFields::average, i, kMostRate, "as " + dotted));
    // "bps_rd" becomes "bps_rd_max".
    to.push_back(element(old + "_max", &DriveFields::max, i, kMostRate, "as " + dotted + "-max"));
    to.push_back(
        element(old + "_max_length", &DriveFields::length, i, 1u << 30, "as " + dotted + "-max-length"));
  }
  to.push_back(config::integer("throttling.iops-size", &DriveFields::iops_size, uint64_t{0}, kMostRate,
                               "bytes that count as one operation"));
  to.push_back(config::integer("iops_size", &DriveFields::iops_size, uint64_t{0}, kMostRate,
                               "as throttling.iops-size"));
  to.push_back(
      config::text("throttling.group", &DriveFields::throttle_group, "drives that share the limits"));
  to.push_back(config::text("group", &DriveFields::throttle_group, "as throttling.group"));
}

config::Choices<std::string> words(std::initializer_list<std::string_view> list) {
  config::Choices<std::string> out;
  for (const std::string_view word : list) out.emplace_back(word, std::string(word));
  return out;
}

std::vector<config::Property> drive_properties() {
  using D = DriveFields;
  std::vector<config::Property> out = {
      config::text("file", &D::file, "the image"),
      config::text("format", &D::format, "its format; else it is guessed"),
      config::choice("if", &D::interface, words({"ide", "floppy", "virtio", "pflash", "none"}),
                     "kind of device"),
      config::choice("media", &D::media, words({"disk", "cdrom"}), "kind of medium"),
      config::integer("index", &D::index, 0u, 255u, "which of the devices of its kind"),
      config::integer("bus", &D::bus, 0u, 255u, "bus number"),
      config::integer("unit", &D::unit, 0u, 255u, "place on the bus"),
      config::text("id", &D::id, "name for -device drive= and the monitor"),
      config::text("node-name", &D::node_name, "a second name"),
      config::choice("cache", &D::cache, words({"none", "writeback", "writethrough", "directsync", "unsafe"}),
                     "cache mode"),
      config::boolean("cache.writeback", &D::cache_writeback, "the guest finds a write cache switched on"),
      config::boolean("cache.direct", &D::cache_direct, "past the host's page cache"),
      config::boolean("cache.no-flush", &D::cache_no_flush, "flushes are not carried out"),
      config::choice("aio", &D::aio, words({"threads", "native", "io_uring"}),
                     "how the host reads and writes"),
      config::choice("discard", &D::discard, words({"ignore", "off", "unmap", "on"}),
                     "whether discards reach the image"),
      config::choice("detect-zeroes", &D::detect_zeroes, words({"off", "on", "unmap"}),
                     "whether zeros that are written become holes"),
      config::boolean("readonly", &D::readonly, "the image is not written"),
      config::boolean("read-only", &D::readonly, "as readonly"),
      config::boolean("auto-read-only", &D::auto_read_only, "read-only if the file is"),
      config::boolean("snapshot", &D::snapshot, "writes go to a temporary file"),
      config::choice("werror", &D::werror, words({"enospc", "report", "ignore", "stop"}), "failed writes"),
      config::choice("rerror", &D::rerror, words({"report", "ignore", "stop"}), "failed reads"),
      config::text("serial", &D::serial, "the device's serial number"),
  };
  add_limits(out);
  return out;
}

// What a short form stands for.
Option short_form(std::string name, std::string help, config::KeyValues values, SystemOptions& o) {
  return {name, "FILE", std::move(help), [name, values, &o](std::string_view file) -> Result<> {
            config::KeyValues all = values;
            all.push_back({"file", std::string(file)});
            o.storage.drives.push_back({fmt::format("-{} {}", name, file), std::move(all)});
            return {};
          }};
}

}  // namespace

const config::Schema& drive_schema() {
  static const config::Schema schema("drive", "", drive_properties());
  return schema;
}

Result<DriveFields> take_drive_fields(config::KeyValues& values) {
  config::KeyValues known;
  std::erase_if(values, [&known](const config::KeyValue& entry) {
    const auto& properties = drive_schema().properties();
    if (std::ranges::find(properties, entry.key, &config::Property::name) == properties.end()) return false;
    known.push_back(entry);
    return true;
  });
  DriveFields fields;
  TRY(drive_schema().apply(known, &fields));
  return fields;
}

void add_storage_options(Options& to, SystemOptions& options) {
  const auto index = [](const char* number, const char* media) {
    return config::KeyValues{{"if", "ide"}, {"index", number}, {"media", media}};
  };
  to.push_back({"drive", "[file=FILE][,format=F][,if=TYPE][,media=disk|cdrom][,KEY=VALUE…]",
                "a drive and its image; -drive help lists the keys",
                [&options](std::string_view text) -> Result<> {
                  if (config::asks_for_help(text)) {
                    const DriveFields defaults;
                    print_and_exit(drive_schema().help(&defaults));
                  }
                  auto values = TRY(config::split_options(text, ""));
                  options.storage.drives.push_back({fmt::format("-drive {}", text), std::move(values)});
                  return {};
                }});
  to.push_back({"blockdev", "[driver=]DRIVER,node-name=NAME[,KEY=VALUE…]",
                "an image for the device that names it; JSON is accepted",
                [&options](std::string_view text) -> Result<> {
                  auto values = TRY(config::split_options(text, "driver"));
                  options.storage.blockdevs.push_back({fmt::format("-blockdev {}", text), std::move(values)});
                  return {};
                }});
  to.push_back(short_form("hda", "first IDE disk (also hdb, hdc, hdd)", index("0", "disk"), options));
  to.push_back(short_form("hdb", "second IDE disk", index("1", "disk"), options));
  to.push_back(short_form("hdc", "third IDE disk", index("2", "disk"), options));
  to.push_back(short_form("hdd", "fourth IDE disk", index("3", "disk"), options));
  to.push_back(short_form("cdrom", "CD-ROM (in the place of the third IDE disk)",
                          {{"index", "2"}, {"media", "cdrom"}}, options));
  to.push_back(short_form("fda", "first floppy", {{"if", "floppy"}, {"index", "0"}}, options));
  to.push_back(short_form("fdb", "second floppy", {{"if", "floppy"}, {"index", "1"}}, options));
  to.push_back(short_form("pflash", "flash memory with firmware, then with its variables", {{"if", "pflash"}},
                          options));
  to.push_back(flag("snapshot", "drives write to temporary files", options.storage.snapshot));
}

}  // namespace rhea::system
