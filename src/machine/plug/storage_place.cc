// See storage_place.h.
#include "machine/plug/storage_place.h"

#include "base/failf.h"

namespace rhea::machine {
namespace {

block::ErrorPolicy policy_of(DiskErrorPolicy word, block::ErrorPolicy otherwise) {
  switch (word) {
    case DiskErrorPolicy::Report: return block::ErrorPolicy::Report;
    case DiskErrorPolicy::Ignore: return block::ErrorPolicy::Ignore;
    case DiskErrorPolicy::Enospc: return block::ErrorPolicy::Enospc;
    case DiskErrorPolicy::Stop: return block::ErrorPolicy::Stop;
    case DiskErrorPolicy::Auto: break;
  }
  return otherwise;
}

}  // namespace

Result<block::Drive*> find_drive(DeviceSite& site, const DeviceRequest& request, const DrivePlace& place) {
  if (!place.drive) return fail(ErrorKind::Invalid, "No drive specified");
  const auto found = find_backend(site.backends().drive, "drive", *place.drive);
  if (!found && found.error().kind() == ErrorKind::NotFound)
    return failf(ErrorKind::NotFound, "Property '{}.drive' can't find value '{}'", request.driver,
                 *place.drive);
  return found;
}

Result<block::Drive*> find_or_make_drive(DeviceSite& site, const DeviceRequest& request,
                                         const DrivePlace& place) {
  if (place.drive) return find_drive(site, request, place);
  if (!site.backends().empty_drive) return fail(ErrorKind::Invalid, "No drive specified");
  return site.backends().empty_drive(request.id);
}

void apply_policies(const DrivePlace& place, block::Drive& drive) {
  drive.set_error_policies(policy_of(place.rerror, drive.config().on_read_error),
                           policy_of(place.werror, drive.config().on_write_error));
  if (place.write_cache != OnOffAuto::Auto) drive.set_write_cache(place.write_cache == OnOffAuto::On);
}

}  // namespace rhea::machine
