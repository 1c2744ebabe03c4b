// Drives and nodes that come and go while the machine runs: drive_add and drive_del, blockdev-add and
// blockdev-del.
//
// A node that only says where bytes are (a file, say) is looked at when it is added and opened together with
// the node above it, or, if there is none, for the device that names it. Main thread, machine lock held; what
// is slow is handed back as work for another thread.
#pragma once

#include <string>
#include <vector>

#include "block/drive/drives.h"
#include "monitor/context.h"
#include "tools/system/setup/drive_spec.h"

namespace rhea::system {

class LiveStorage {
 public:
  LiveStorage(block::Drives& drives, DrivePlaces places, const StorageOptions& options)
      : drives_(drives), places_(std::move(places)), nodes_(options.blockdevs), snapshot_(options.snapshot) {}

  void fill_in(monitor::Context& context);
  // The drive of this name, for a device. Errors: NotFound, or why its node cannot be opened.
  Result<block::Drive*> find(const std::string& name);

 private:
  Result<monitor::SlowWork> add_drive(const std::string& words);
  Result<monitor::SlowWork> add_node(config::KeyValues values);
  Result<monitor::SlowWork> remove_drive(const std::string& id);
  Result<monitor::SlowWork> remove_node(const std::string& name);
  // Answered when the image is closed and has given up its locks.
  monitor::SlowWork until_closed() const;
  // Whether another node has this one below it.
  bool is_below(const std::string& name) const;
  StorageOptions::Named* node(const std::string& name);
  // The nodes' own drives give up their images: the node above will open them.
  void lend(const std::set<std::string>& names);

  block::Drives& drives_;
  DrivePlaces places_;
  std::vector<StorageOptions::Named> nodes_;
  bool snapshot_;
};

}  // namespace rhea::system
