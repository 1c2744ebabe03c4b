// The properties that every device with a drive has, and what they do to the drive.
//
//     struct DiskOptions : DrivePlace { … };
//     config::Group<DiskOptions> group{"x", "", with_drive_place<DiskOptions>({…})};
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "config/schema.h"
#include "machine/plug/device_request.h"
#include "machine/plug/device_site.h"
#include "machine/plug/disk_options.h"

namespace rhea::machine {

struct DrivePlace {
  std::optional<std::string> drive;
  std::optional<unsigned> bootindex;
  DiskErrorPolicy rerror = DiskErrorPolicy::Auto, werror = DiskErrorPolicy::Auto;
  OnOffAuto write_cache = OnOffAuto::Auto;
};

// The drive that drive= names. Errors: Invalid (none given), NotFound, Busy.
Result<block::Drive*> find_drive(DeviceSite& site, const DeviceRequest& request, const DrivePlace& place);
// For removable media: without drive= a new, empty one.
Result<block::Drive*> find_or_make_drive(DeviceSite& site, const DeviceRequest& request,
                                         const DrivePlace& place);
// What the device's own words say over the drive's: error policies and the write cache.
void apply_policies(const DrivePlace& place, block::Drive& drive);

template <class T>
std::vector<config::Property> with_drive_place(std::vector<config::Property> own) {
  const auto errors = disk_error_policies();
  own.push_back(config::text("drive", static_cast<std::optional<std::string> T::*>(&T::drive),
                             "id of a -drive or node name of a -blockdev"));
  own.push_back(config::integer("bootindex", static_cast<std::optional<unsigned> T::*>(&T::bootindex), 0u,
                                0x7fffffffu, "place in the firmware's order of boot devices"));
  own.push_back(config::choice("rerror", static_cast<DiskErrorPolicy T::*>(&T::rerror), errors,
                               "what becomes of failed reads; auto: as -drive says"));
  own.push_back(config::choice("werror", static_cast<DiskErrorPolicy T::*>(&T::werror), errors,
                               "what becomes of failed writes; auto: as -drive says"));
  own.push_back(config::choice("write-cache", static_cast<OnOffAuto T::*>(&T::write_cache), on_off_auto(),
                               "whether the guest finds a write cache switched on; auto: as cache= says"));
  return own;
}

}  // namespace rhea::machine
