// virtio devices on PCI: disks, random numbers, balloons, serial ports.
#include <algorithm>
#include <bit>
#include <memory>

#include "bus/pci/firmware_path.h"
#include "config/schema.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_rng.h"
#include "devices/virtio/virtio_serial.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/virtio_place.h"

namespace rhea::machine {

namespace virtio = devices::virtio;

Result<virtio::VirtioPci*> plug_virtio(DeviceSite& site, const DeviceRequest& request,
                                       const VirtioPlace& place, VirtioVariant variant,
                                       std::unique_ptr<virtio::VirtioDevice> device,
                                       unsigned default_vectors) {
  using Interface = virtio::VirtioPci::Interface;
  const PciSlot slot = TRY(choose_slot(site, place));
  const bool behind_port = slot.bus.is_express() && !slot.bus.is_root();
  const bool modern_only =
      place.disable_legacy == OnOffAuto::On || (place.disable_legacy == OnOffAuto::Auto && behind_port);
  Interface interface = Interface::Transitional;
  if (variant == VirtioVariant::Modern || (variant == VirtioVariant::Generic && modern_only))
    interface = Interface::Modern;
  if (place.disable_modern) {
    if (interface == Interface::Modern)
      return fail(ErrorKind::Invalid, "device cannot work as neither modern nor legacy mode is enabled");
    interface = Interface::Legacy;
  }
  return plug_pci(
      site, request, place,
      std::make_unique<virtio::VirtioPci>(
          std::move(device), virtio::VirtioPci::Options{.interface = interface,
                                                        .vectors = place.vectors.value_or(default_vectors)}));
}

namespace {

struct BlkOptions : VirtioPlace, DiskOptions {
  std::optional<unsigned> num_queues;
  unsigned queue_size = 256;
  bool config_wce = true, discard = true, write_zeroes = true, scsi = false;
  uint32_t max_discard = virtio::VirtioBlk::kMaxSectors, max_zeroes = virtio::VirtioBlk::kMaxSectors;
};
struct RngOptions : VirtioPlace {
  std::optional<std::string> rng;
  uint64_t max_bytes = INT64_MAX;
  uint32_t period = 1 << 16;
};
struct BalloonOptions : VirtioPlace {
  bool deflate_on_oom = false;
};
struct SerialOptions : VirtioPlace {
  unsigned max_ports = virtio::VirtioSerial::kMaxPorts;
  bool emergency_write = true;
};
struct PortOptions {
  std::optional<std::string> bus, chardev;
  std::optional<unsigned> nr;
  std::string name;
};

template <VirtioVariant kVariant>
const config::Group<BlkOptions>& blk_group() {
  static const config::Group<BlkOptions> group{
      "virtio-blk-pci", "",
      with_virtio_place<BlkOptions>(
          kVariant,
          with_geometry<BlkOptions>(with_disk<BlkOptions>(
              {config::integer("num-queues", &BlkOptions::num_queues, 1u, 1023u,
                               "request queues; one for each vCPU if not given"),
               config::integer("queue-size", &BlkOptions::queue_size, 4u, 1024u,
                               "entries of a queue, a power of two"),
               config::boolean("config-wce", &BlkOptions::config_wce,
                               "the guest may turn the write cache off"),
               config::boolean("scsi", &BlkOptions::scsi, "off: SCSI commands are not passed through"),
               config::boolean("discard", &BlkOptions::discard, "offer discards"),
               config::boolean("write-zeroes", &BlkOptions::write_zeroes, "offer writes of zeros"),
               config::integer("max-discard-sectors", &BlkOptions::max_discard, 1u,
                               virtio::VirtioBlk::kMaxSectors, "sectors of one discard"),
               config::integer("max-write-zeroes-sectors", &BlkOptions::max_zeroes, 1u,
                               virtio::VirtioBlk::kMaxSectors, "sectors of one write of zeros")})))};
  return group;
}

template <VirtioVariant kVariant>
const config::Group<RngOptions>& rng_group() {
  static const config::Group<RngOptions> group{
      "virtio-rng-pci", "",
      with_virtio_place<RngOptions>(
          kVariant, {config::text("rng", &RngOptions::rng, "id of an -object rng-random or rng-builtin"),
                     config::integer("max-bytes", &RngOptions::max_bytes, uint64_t{1},
                                     static_cast<uint64_t>(INT64_MAX), "bytes in each period"),
                     config::integer("period", &RngOptions::period, 1u, UINT32_MAX, "milliseconds")})};
  return group;
}

template <VirtioVariant kVariant>
const config::Group<BalloonOptions>& balloon_group() {
  static const config::Group<BalloonOptions> group{
      "virtio-balloon-pci", "",
      with_virtio_place<BalloonOptions>(
          kVariant, {config::boolean("deflate-on-oom", &BalloonOptions::deflate_on_oom,
                                     "the guest may take pages back when it runs out of memory")})};
  return group;
}

template <VirtioVariant kVariant>
const config::Group<SerialOptions>& serial_group() {
  static const config::Group<SerialOptions> group{
      "virtio-serial-pci", "",
      with_virtio_place<SerialOptions>(
          kVariant, {config::integer("max_ports", &SerialOptions::max_ports, 1u, 511u, "places for ports"),
                     config::boolean("emergency-write", &SerialOptions::emergency_write,
                                     "offer output without a driver")})};
  return group;
}

const config::Group<PortOptions>& port_group() {
  static const config::Group<PortOptions> group{
      "virtserialport",
      "",
      {config::text("bus", &PortOptions::bus, "name of a virtio-serial bus"),
       config::text("chardev", &PortOptions::chardev, "id of the character back end"),
       config::integer("nr", &PortOptions::nr, 0u, 510u, "number of the port"),
       config::text("name", &PortOptions::name, "name of the port in the guest")}};
  return group;
}

template <VirtioVariant kVariant>
Result<> add_blk(DeviceSite& site, const DeviceRequest& request) {
  BlkOptions options;
  TRY(blk_group<kVariant>().apply(request.values, options));
  if (options.scsi)
    return fail(ErrorKind::Unsupported, "'scsi=on': SCSI commands are not passed through to the host's disk");
  if (!std::has_single_bit(options.queue_size))
    return failf(ErrorKind::Invalid, "'queue-size' accepts a power of two from 4 to 1024, not {}",
                 options.queue_size);
  block::Drive* drive = TRY(take_drive(site, options));
  const unsigned queues = options.num_queues.value_or(site.vcpus());
  auto device = TRY(virtio::VirtioBlk::create(
      *drive,
      {.queues = queues,
       .queue_size = static_cast<uint16_t>(options.queue_size),
       .serial = options.serial,
       .logical_block = options.logical_block,
       .physical_block = std::max(options.physical_block, options.logical_block),
       .min_io = options.min_io,
       .opt_io = options.opt_io,
       .discard_granularity = options.discard_granularity,
       .max_discard_sectors = options.max_discard,
       .max_write_zeroes_sectors = options.max_zeroes,
       .config_wce = options.config_wce,
       .discard = options.discard,
       .write_zeroes = options.write_zeroes,
       .geometry = {.cylinders = options.cylinders, .heads = options.heads, .sectors = options.sectors}},
      options.ring_options()));
  auto* function = TRY(plug_virtio(site, request, options, kVariant, std::move(device), queues + 1));
  if (!options.bootindex) return {};
  return site.add_boot_path(*options.bootindex, bus::pci::firmware_path(*function) + "/disk@0,0");
}

template <VirtioVariant kVariant>
Result<> add_rng(DeviceSite& site, const DeviceRequest& request) {
  RngOptions options;
  TRY(rng_group<kVariant>().apply(request.values, options));
  std::shared_ptr<virtio::EntropySource> source;
  if (!options.rng) {
    source = std::make_shared<virtio::BuiltinEntropy>();
  } else if (site.backends().entropy) {
    source = TRY(site.backends().entropy(*options.rng));
  } else {
    return failf(ErrorKind::NotFound, "there is no rng '{}'", *options.rng);
  }
  auto device = std::make_unique<virtio::VirtioRng>(
      std::move(source), site.virtual_clock(),
      virtio::VirtioRng::Options{.max_bytes = options.max_bytes, .period_ms = options.period},
      options.ring_options());
  TRY(plug_virtio(site, request, options, kVariant, std::move(device), 2));
  return {};
}

template <VirtioVariant kVariant>
Result<> add_balloon(DeviceSite& site, const DeviceRequest& request) {
  BalloonOptions options;
  TRY(balloon_group<kVariant>().apply(request.values, options));
  for (const auto& plugged : site.tree().devices()) {
    if (plugged->request.driver.starts_with("virtio-balloon"))
      return fail(ErrorKind::Invalid, "Only one balloon device is supported");
  }
  auto device = std::make_unique<virtio::VirtioBalloon>(
      virtio::VirtioBalloon::Options{.deflate_on_oom = options.deflate_on_oom,
                                     .changed =
                                         [tell = site.backends().balloon_changed](uint64_t pages) {
                                           if (tell) tell(pages * virtio::VirtioBalloon::kPage);
                                         }},
      options.ring_options());
  TRY(plug_virtio(site, request, options, kVariant, std::move(device), 2));
  return {};
}

template <VirtioVariant kVariant>
Result<> add_serial(DeviceSite& site, const DeviceRequest& request) {
  SerialOptions options;
  TRY(serial_group<kVariant>().apply(request.values, options));
  auto device = std::make_unique<virtio::VirtioSerial>(
      virtio::VirtioSerial::Options{.max_ports = options.max_ports,
                                    .emergency_write = options.emergency_write},
      options.ring_options());
  virtio::VirtioSerial& ports = *device;
  auto* function = TRY(plug_virtio(site, request, options, kVariant, std::move(device), 2));
  site.tree().add_bus(request.id.empty() ? "virtio-serial-bus.0" : request.id + ".0", ports, function);
  return {};
}

template <bool kConsole>
Result<> add_port(DeviceSite& site, const DeviceRequest& request) {
  PortOptions options;
  TRY(port_group().apply(request.values, options));
  auto* bus = TRY(site.tree().find_bus<virtio::VirtioSerial>(options.bus));
  chardev::Chardev* backend = nullptr;
  if (options.chardev) backend = TRY(find_backend(site.backends().chardev, "chardev", *options.chardev));
  auto port = std::make_unique<virtio::VirtioPort>(
      virtio::VirtioPort::Options{.console = kConsole, .name = options.name, .backend = backend});
  TRY(bus->plug(*port, options.nr));
  site.tree().own(request, std::move(port), site.tree().name_of(*bus));
  return {};
}

template <VirtioVariant kVariant>
std::string blk_help() {
  return blk_group<kVariant>().help();
}
template <VirtioVariant kVariant>
std::string rng_help() {
  return rng_group<kVariant>().help();
}
template <VirtioVariant kVariant>
std::string balloon_help() {
  return balloon_group<kVariant>().help();
}
template <VirtioVariant kVariant>
std::string serial_help() {
  return serial_group<kVariant>().help();
}
std::string port_help() {
  return port_group().help();
}

}  // namespace

std::span<const DeviceDriver> virtio_drivers() {
  using enum VirtioVariant;
  static constexpr DeviceDriver kDrivers[] = {
      {"virtio-blk-pci", "PCI", "Storage", "a virtio disk", blk_help<Generic>, add_blk<Generic>},
      {"virtio-blk-pci-transitional", "PCI", "Storage", "a virtio disk with both interfaces",
       blk_help<Transitional>, add_blk<Transitional>},
      {"virtio-blk-pci-non-transitional", "PCI", "Storage", "a modern virtio disk", blk_help<Modern>,
       add_blk<Modern>},
      {"virtio-blk", "PCI", "Storage", "short for virtio-blk-pci", blk_help<Generic>, add_blk<Generic>},
      {"virtio-rng-pci", "PCI", "Misc", "random numbers", rng_help<Generic>, add_rng<Generic>},
      {"virtio-rng-pci-transitional", "PCI", "Misc", "random numbers, with both interfaces",
       rng_help<Transitional>, add_rng<Transitional>},
      {"virtio-rng-pci-non-transitional", "PCI", "Misc", "random numbers, modern", rng_help<Modern>,
       add_rng<Modern>},
      {"virtio-rng", "PCI", "Misc", "short for virtio-rng-pci", rng_help<Generic>, add_rng<Generic>},
      {"virtio-balloon-pci", "PCI", "Misc", "memory that the guest lends to the host", balloon_help<Generic>,
       add_balloon<Generic>},
      {"virtio-balloon-pci-transitional", "PCI", "Misc", "the same with both interfaces",
       balloon_help<Transitional>, add_balloon<Transitional>},
      {"virtio-balloon-pci-non-transitional", "PCI", "Misc", "the same, modern", balloon_help<Modern>,
       add_balloon<Modern>},
      {"virtio-balloon", "PCI", "Misc", "short for virtio-balloon-pci", balloon_help<Generic>,
       add_balloon<Generic>},
      {"virtio-serial-pci", "PCI", "Input", "a bus for virtconsole and virtserialport", serial_help<Generic>,
       add_serial<Generic>},
      {"virtio-serial-pci-transitional", "PCI", "Input", "the same with both interfaces",
       serial_help<Transitional>, add_serial<Transitional>},
      {"virtio-serial-pci-non-transitional", "PCI", "Input", "the same, modern", serial_help<Modern>,
       add_serial<Modern>},
      {"virtio-serial", "PCI", "Input", "short for virtio-serial-pci", serial_help<Generic>,
       add_serial<Generic>},
      {"virtconsole", "virtio-serial-bus", "Input", "a console port", port_help, add_port<true>},
      {"virtserialport", "virtio-serial-bus", "Input", "a serial port", port_help, add_port<false>},
  };
  return kDrivers;
}

}  // namespace rhea::machine
