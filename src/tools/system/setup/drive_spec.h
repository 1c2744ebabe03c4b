// One -drive or -blockdev, worked out: which device it is for, under which name, how the image is opened and
// what the drive is told.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "block/drive/open_medium.h"
#include "tools/system/options.h"

namespace rhea::system {

enum class DriveInterface : uint8_t { Ide, Floppy, Virtio, Pflash, None };

struct DriveSpec {
  DriveInterface interface = DriveInterface::None;
  unsigned bus = 0, unit = 0;
  bool cdrom = false;
  bool has_image = false;
  block::DriveConfig config;
  block::MediumRequest medium;
};

// Which places are taken so far and what groups of drives share their limits.
class DrivePlaces {
 public:
  // units: places on an IDE bus of the machine; buses: how many there are.
  DrivePlaces(unsigned ide_units, unsigned ide_buses) : ide_units_(ide_units), ide_buses_(ide_buses) {}

  Result<DriveSpec> drive(const StorageOptions::Named& option, bool snapshot);
  Result<DriveSpec> blockdev(config::KeyValues values);
  bool taken(DriveInterface interface, unsigned bus, unsigned unit) const;

 private:
  struct Place {
    DriveInterface interface;
    unsigned bus, unit;
    bool operator==(const Place&) const = default;
  };
  Result<> choose_place(const DriveFields& fields, DriveSpec& spec);
  Result<> set_throttle(const DriveFields& fields, block::DriveConfig& config);
  unsigned units_of(DriveInterface interface) const;

  unsigned ide_units_, ide_buses_;
  std::vector<Place> places_;
  std::map<std::string, std::shared_ptr<block::Throttle>> groups_;
};

// A node with the nodes that it names put in their places, and their names. Errors: NotFound, Invalid.
struct NodeTree {
  config::KeyValues values;
  std::set<std::string> names;
};
Result<NodeTree> whole_tree(const std::vector<StorageOptions::Named>& nodes, const config::KeyValues& node);

// -blockdev nodes that name each other ("file": "node") become whole trees: the nodes that no other names.
Result<std::vector<StorageOptions::Named>> join_blockdevs(const std::vector<StorageOptions::Named>& nodes);

}  // namespace rhea::system
