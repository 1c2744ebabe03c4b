// Disks and CD-ROM drives on IDE buses (of the PIIX3 or of an AHCI).

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "base/failf.h"
#include "block/drive/drive.h"
#include "config/schema.h"
#include "devices/ata/ata_disk.h"
#include "devices/ata/atapi_cdrom.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/storage_place.h"

namespace rhea::machine {
namespace {

using devices::AtaBus;
using devices::AtaUnit;

struct IdePlace : DrivePlace {
  std::optional<std::string> bus;
  std::optional<unsigned> unit;
  std::optional<std::string> serial, ver, model;
  uint64_t wwn = 0;
};
constexpr uint8_t kAutomatic = 0xff;

struct IdeDiskOptions : IdePlace {
  std::optional<uint32_t> cyls, heads, secs;
  std::optional<uint64_t> physical_block_size;
  uint16_t rotation_rate = 0;
  std::optional<uint8_t> translation;
};

template <class T>
std::vector<config::Property> with_ide_place(std::vector<config::Property> own) {
  auto list = with_drive_place<T>(std::move(own));
  list.push_back(
      config::text("bus", static_cast<std::optional<std::string> T::*>(&T::bus), "name of an IDE bus"));
  list.push_back(config::integer("unit", static_cast<std::optional<unsigned> T::*>(&T::unit), 0u, 255u,
                                 "place on the bus"));
  list.push_back(
      config::text("serial", static_cast<std::optional<std::string> T::*>(&T::serial), "serial number"));
  list.push_back(
      config::text("ver", static_cast<std::optional<std::string> T::*>(&T::ver), "firmware's version"));
  list.push_back(
      config::text("model", static_cast<std::optional<std::string> T::*>(&T::model), "model's name"));
  list.push_back(config::integer("wwn", static_cast<uint64_t T::*>(&T::wwn), uint64_t{0}, UINT64_MAX,
                                 "world wide name; 0: none"));
  return list;
}

const config::Group<IdeDiskOptions>& disk_group() {
  using T = IdeDiskOptions;
  static const config::Group<T> group{
      "ide-hd", "",
      with_ide_place<T>(
          {config::integer("cyls", &T::cyls, 0u, 65535u, "cylinders that are shown"),
           config::integer("heads", &T::heads, 0u, 16u, "heads that are shown"),
           config::integer("secs", &T::secs, 0u, 255u, "sectors a track that are shown"),
           config::choice("bios-chs-trans", &T::translation,
                          {{"auto", kAutomatic}, {"none", 0}, {"lba", 1}, {"large", 2}, {"rechs", 3}},
                          "how the BIOS fits the cylinders into its ten bits"),
           config::size("physical_block_size", &T::physical_block_size, 1, 512, 1 << 20,
                        "a power of two from 512"),
           config::integer("rotation_rate", &T::rotation_rate, 0u, 65535u,
                           "rotations a minute; 1: none, 0: not said")})};
  return group;
}

const config::Group<IdePlace>& cdrom_group() {
  static const config::Group<IdePlace> group{"ide-cd", "", with_ide_place<IdePlace>({})};
  return group;
}

struct IdeSlot {
  AtaBus& bus;
  unsigned unit;
  std::string name;
};

std::optional<unsigned> free_unit(const AtaBus& bus) {
  for (unsigned unit = 0; unit < bus.places(); ++unit) {
    if (bus.at(unit) == nullptr) return unit;
  }
  return std::nullopt;
}

// Without bus= the last bus that has room, as QEMU chooses.
Result<IdeSlot> choose_ide_slot(DeviceSite& site, const IdePlace& place) {
  AtaBus* bus = nullptr;
  std::string name;
  if (place.bus) {
    bus = TRY(site.tree().find_bus<AtaBus>(place.bus));
    name = *place.bus;
  } else {
    for (const DeviceTree::NamedBus& candidate : site.tree().buses()) {
      auto* found = dynamic_cast<AtaBus*>(candidate.bus);
      if (found == nullptr || !free_unit(*found)) continue;
      bus = found;
      name = candidate.name;
    }
    if (bus == nullptr) return fail(ErrorKind::NotFound, "No 'IDE' bus found for this device");
  }
  if (!place.unit) {
    const auto unit = free_unit(*bus);
    if (!unit) return fail(ErrorKind::Busy, fmt::format("Bus '{}' is full", name));
    return IdeSlot{*bus, *unit, name};
  }
  if (*place.unit >= bus->places())
    return failf(ErrorKind::Invalid, "Can't create IDE unit {}, bus supports only {} units", *place.unit,
                 bus->places());
  if (bus->at(*place.unit) != nullptr) return failf(ErrorKind::Busy, "IDE unit {} is in use", *place.unit);
  return IdeSlot{*bus, *place.unit, name};
}

// "QM00001" for the first place of the first bus and so on.
std::string default_serial(const IdeSlot& slot) {
  const size_t digits = slot.name.find_last_not_of("0123456789") + 1;
  const std::string number = slot.name.substr(digits);
  const unsigned bus = number.empty() || number.size() > 4 ? 0 : static_cast<unsigned>(std::stoul(number));
  return fmt::format("QM{:05}", bus * 2 + slot.unit + 1);
}

template <class Options>
void fill_names(const IdeSlot& slot, const IdePlace& place, const block::Drive& drive, Options& to) {
  to.serial = place.serial.value_or(drive.serial().empty() ? default_serial(slot) : drive.serial());
  if (place.model) to.model = *place.model;
  if (place.ver) to.firmware = *place.ver;
  to.wwn = place.wwn;
}

Result<> plug_in(DeviceSite& site, const DeviceRequest& request, const IdePlace& place, const IdeSlot& slot,
                 std::unique_ptr<AtaUnit> unit) {
  if (place.bootindex) {
    std::string path = slot.bus.boot_path(slot.unit);
    if (!path.empty()) TRY(site.add_boot_path(*place.bootindex, std::move(path)));
  }
  AtaUnit& made = site.tree().own(request, std::move(unit), slot.name);
  slot.bus.plug(made, slot.unit);
  return {};
}

Result<> add_disk(DeviceSite& site, const DeviceRequest& request) {
  IdeDiskOptions options;
  TRY(disk_group().apply(request.values, options));
  const IdeSlot slot = TRY(choose_ide_slot(site, options));
  block::Drive& drive = *TRY(find_drive(site, request, options));
  devices::AtaDisk::Options disk;
  fill_names(slot, options, drive, disk);
  const bool any = options.cyls || options.heads || options.secs;
  if (any &&
      (options.cyls.value_or(0) == 0 || options.heads.value_or(0) == 0 || options.secs.value_or(0) == 0))
    return fail(ErrorKind::Invalid, "cyls, heads and secs must be given together");
  disk.bios_translation = options.translation == kAutomatic ? std::nullopt : options.translation;
  if (any) disk.geometry = {*options.cyls, *options.heads, *options.secs};
  const uint64_t physical = options.physical_block_size.value_or(512);
  if ((physical & (physical - 1)) != 0)
    return failf(ErrorKind::Invalid, "physical_block_size must be a power of two, not {}", physical);
  for (uint64_t size = 512; size < physical; size *= 2) disk.physical_exponent++;
  disk.rotation_rate = options.rotation_rate;
  auto unit = TRY(devices::AtaDisk::create(drive, disk));
  apply_policies(options, drive);
  return plug_in(site, request, options, slot, std::move(unit));
}

Result<> add_cdrom(DeviceSite& site, const DeviceRequest& request) {
  IdePlace options;
  TRY(cdrom_group().apply(request.values, options));
  const IdeSlot slot = TRY(choose_ide_slot(site, options));
  block::Drive& drive = *TRY(find_or_make_drive(site, request, options));
  devices::AtapiCdrom::Options cdrom;
  fill_names(slot, options, drive, cdrom);
  auto unit = TRY(devices::AtapiCdrom::create(drive, cdrom));
  apply_policies(options, drive);
  return plug_in(site, request, options, slot, std::move(unit));
}

}  // namespace

std::span<const DeviceDriver> storage_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"ide-hd", "IDE", "Storage", "virtual IDE disk", [] { return disk_group().help(); }, add_disk},
      {"ide-cd", "IDE", "Storage", "virtual IDE CD-ROM", [] { return cdrom_group().help(); }, add_cdrom},
  };
  return kDrivers;
}

}  // namespace rhea::machine
