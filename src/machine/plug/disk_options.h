// The properties that disks of every bus have.
//
//     struct BlkOptions : PciPlace, DiskOptions { … };
//     with_pci_place<T>(with_disk<T>({…}))
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "config/schema.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

enum class OnOffAuto : uint8_t { Auto, On, Off };
enum class DiskErrorPolicy : uint8_t { Auto, Report, Ignore, Enospc, Stop };

struct DiskOptions {
  std::optional<std::string> drive;
  std::string serial;
  std::optional<unsigned> bootindex;
  uint32_t logical_block = 512, physical_block = 512, min_io = 0, opt_io = 0, discard_granularity = 0;
  uint32_t cylinders = 0, heads = 0, sectors = 0;
  OnOffAuto write_cache = OnOffAuto::Auto;
  DiskErrorPolicy on_read_error = DiskErrorPolicy::Auto, on_write_error = DiskErrorPolicy::Auto;
};

// The drive of drive=, with cache and error policies set as the properties say, and the numbers checked.
// Errors: Invalid, NotFound, Busy.
Result<block::Drive*> take_drive(DeviceSite& site, const DiskOptions& options);

config::Choices<OnOffAuto> on_off_auto();
config::Choices<DiskErrorPolicy> disk_error_policies();

template <class T>
std::vector<config::Property> with_disk(std::vector<config::Property> own) {
  constexpr uint64_t kMostBlock = uint64_t{2} << 20, kMost32 = UINT32_MAX;
  const auto member = []<class V>(V DiskOptions::*m) { return static_cast<V T::*>(m); };
  std::vector<config::Property> all = {
      config::text("drive", member(&DiskOptions::drive), "id of a -drive, or node-name of a -blockdev"),
      config::text("serial", member(&DiskOptions::serial), "serial number"),
      config::integer("bootindex", member(&DiskOptions::bootindex), 0u, 0x7fffffffu,
                      "place in the firmware's order"),
      config::size("logical_block_size", member(&DiskOptions::logical_block), 1, 512, kMostBlock,
                   "smallest unit of access, a power of two"),
      config::size("physical_block_size", member(&DiskOptions::physical_block), 1, 512, kMostBlock,
                   "block of the medium, a power of two"),
      config::size("min_io_size", member(&DiskOptions::min_io), 1, 0, kMost32, "preferred smallest request"),
      config::size("opt_io_size", member(&DiskOptions::opt_io), 1, 0, kMost32, "preferred request"),
      config::size("discard_granularity", member(&DiskOptions::discard_granularity), 1, 0, kMost32,
                   "unit of discards"),
      config::choice("write-cache", member(&DiskOptions::write_cache), on_off_auto(),
                     "whether the disk has a write cache; auto: as the drive's cache= says"),
      config::choice("rerror", member(&DiskOptions::on_read_error), disk_error_policies(),
                     "what becomes of read errors; auto: as the drive says"),
      config::choice("werror", member(&DiskOptions::on_write_error), disk_error_policies(),
                     "what becomes of write errors; auto: as the drive says")};
  for (config::Property& property : all) own.push_back(std::move(property));
  return own;
}

template <class T>
std::vector<config::Property> with_geometry(std::vector<config::Property> own) {
  const auto member = []<class V>(V DiskOptions::*m) { return static_cast<V T::*>(m); };
  own.push_back(config::integer("cyls", member(&DiskOptions::cylinders), 0u, 65535u, "cylinders"));
  own.push_back(config::integer("heads", member(&DiskOptions::heads), 0u, 255u, "heads"));
  own.push_back(config::integer("secs", member(&DiskOptions::sectors), 0u, 255u, "sectors of a track"));
  return own;
}

}  // namespace rhea::machine
