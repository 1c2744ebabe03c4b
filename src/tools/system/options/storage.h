// Disks: -drive, -blockdev, -hda and its kin.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct StorageOptions {
  struct Named {
    std::string option;  // as in messages: "-drive file=x", "-hda x"
    config::KeyValues values;
  };
  std::vector<Named> drives;  // also what the short forms stand for
  std::vector<Named> blockdevs;
  bool snapshot = false;
};

// The keys of -drive that are about the drive and not about its image.
struct DriveFields {
  std::optional<std::string> file, format, id, node_name, serial, throttle_group;
  std::string interface = "";  // empty: the machine's
  std::string media = "disk";
  std::optional<unsigned> index, bus, unit;
  std::optional<std::string> cache, aio;
  std::optional<bool> cache_writeback, cache_direct, cache_no_flush;
  std::string discard = "ignore", detect_zeroes = "off";
  std::optional<bool> readonly, auto_read_only;
  std::optional<bool> snapshot;
  std::string werror = "enospc", rerror = "report";
  // bps, bps_rd, bps_wr, iops, iops_rd, iops_wr.
  std::optional<uint64_t> average[6], max[6];
  std::optional<uint32_t> length[6];
  std::optional<uint64_t> iops_size;
};

const config::Schema& drive_schema();
// Takes the keys that it knows; what stays in `values` is for the image.
Result<DriveFields> take_drive_fields(config::KeyValues& values);

void add_storage_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
