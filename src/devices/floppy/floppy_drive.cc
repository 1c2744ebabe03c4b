// See i82078.h.
#include "devices/floppy/i82078.h"

namespace rhea::devices {

FloppyDrive::FloppyDrive(block::Drive& drive, FloppyType type) : drive_(&drive), type_(type) {
  if (drive.inserted()) format_ = floppy_format(drive.size(), type).value_or(format_);
  if (type_ == FloppyType::None) type_ = drive.inserted() ? format_.drive : FloppyType::D2880;
}

Result<std::unique_ptr<FloppyDrive>> FloppyDrive::create(block::Drive& drive, FloppyType type) {
  std::unique_ptr<FloppyDrive> made(new FloppyDrive(drive, type));
  auto attached = drive.attach(*made, {.removable = true, .has_tray = false, .device_id = {}});
  if (!attached) {
    made->drive_ = nullptr;
    return std::unexpected(std::move(attached).error());
  }
  return made;
}

FloppyDrive::~FloppyDrive() {
  if (controller_ != nullptr) controller_->unplug(*this);
  if (drive_ != nullptr) drive_->detach();
}

void FloppyDrive::reset(bus::ResetKind) {
  track = 0;
  changed = true;
}

void FloppyDrive::state(bus::StateVisitor& v) {
  v.field("track", track);
  v.field("changed", changed);
}

void FloppyDrive::media_changed() {
  changed = true;
  if (drive_->inserted()) format_ = floppy_format(drive_->size(), type_).value_or(format_);
}

}  // namespace rhea::devices
