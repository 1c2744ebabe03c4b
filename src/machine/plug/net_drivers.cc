// Network devices.
#include <bit>
#include <cstring>
#include <memory>

#include "bus/pci/express.h"
#include "bus/pci/firmware_path.h"
#include "config/schema.h"
#include "devices/net/e1000.h"
#include "devices/net/e1000e.h"
#include "devices/virtio/virtio_net.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/net_place.h"
#include "machine/plug/option_rom_ids.h"
#include "machine/plug/virtio_place.h"
#include "net/network.h"

namespace rhea::machine {

namespace virtio = devices::virtio;

namespace {

constexpr net::Mac kFirstMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

Result<std::unique_ptr<memory::RamBlock>> load_rom(DeviceSite& site, const NetPlace& place,
                                                   const char* usual) {
  const std::string name = place.romfile.value_or(usual);
  if (name.empty() || place.rombar == 0u || !site.backends().firmware) return nullptr;
  auto bytes = site.backends().firmware(name);
  if (!bytes && !place.romfile) return nullptr;  // no network boot on this host
  const std::vector<uint8_t> rom = TRY_IN(std::move(bytes), "romfile");
  if (rom.empty() || rom.size() > (size_t{16} << 20))
    return failf(ErrorKind::Invalid, "romfile {}: {} bytes are no option ROM", name, rom.size());
  auto block = TRY(memory::RamBlock::create("rom", std::max<uint64_t>(std::bit_ceil(rom.size()), 4096)));
  std::memcpy(block->host(), rom.data(), rom.size());
  return block;
}

struct E1000Options : PciPlace, NetPlace {};

const config::Group<E1000Options>& e1000_group() {
  static const config::Group<E1000Options> group{
      "e1000", "", with_pci_place<E1000Options>(with_net_place<E1000Options>({}))};
  return group;
}

Result<> add_e1000(DeviceSite& site, const DeviceRequest& request) {
  E1000Options options;
  TRY(e1000_group().apply(request.values, options));
  NetParts parts = TRY(find_net_parts(site, options, "efi-e1000.rom"));
  auto* nic =
      TRY(plug_pci(site, request, options,
                   std::make_unique<devices::E1000>(devices::E1000::Wiring{
                       .clock = site.virtual_clock(), .mac = parts.mac, .rom = std::move(parts.rom)})));
  return connect_nic(site, request, options, *nic, nic->end(), parts.back_end);
}

const config::Group<E1000Options>& e1000e_group() {
  static const config::Group<E1000Options> group{
      "e1000e", "", with_pci_place<E1000Options>(with_net_place<E1000Options>({}))};
  return group;
}

Result<> add_e1000e(DeviceSite& site, const DeviceRequest& request) {
  E1000Options options;
  TRY(e1000e_group().apply(request.values, options));
  const PciSlot slot = TRY(choose_slot(site, options));
  NetParts parts = TRY(find_net_parts(site, options, "efi-e1000e.rom"));
  auto* nic =
      TRY(plug_pci(site, request, options,
                   std::make_unique<devices::E1000e>(
                       devices::E1000::Wiring{
                           .clock = site.virtual_clock(), .mac = parts.mac, .rom = std::move(parts.rom)},
                       bus::pci::endpoint_type(slot.bus))));
  return connect_nic(site, request, options, *nic, nic->end(), parts.back_end);
}

struct VirtioNetOptions : VirtioPlace, NetPlace, virtio::VirtioNet::Options {
  unsigned rx_size = 256, tx_size = 256;
  unsigned host_mtu = 0;
  bool mq = false;
};

template <VirtioVariant kVariant>
const config::Group<VirtioNetOptions>& virtio_group() {
  using O = VirtioNetOptions;
  using Device = virtio::VirtioNet::Options;
  const auto offer = [](const char* key, bool Device::*member, const char* what) {
    return config::boolean(key, static_cast<bool O::*>(member), std::string("offer ") + what);
  };
  static const config::Group<O> group{
      "virtio-net-pci", "",
      with_virtio_place<O>(
          kVariant,
          with_net_place<O>(
              {config::integer("rx_queue_size", &O::rx_size, 256u, 1024u, "entries of the receive queue"),
               config::integer("tx_queue_size", &O::tx_size, 256u, 1024u, "entries of the transmit queue"),
               config::boolean("mq", &O::mq, "several pairs of queues: only off is supported"),
               config::integer("host_mtu", &O::host_mtu, 0u, 65535u, "MTU that is offered; 0: none"),
               offer("csum", &Device::csum, "checksums of what the guest sends"),
               offer("guest_csum", &Device::guest_csum, "partial checksums to the guest"),
               offer("host_tso4", &Device::host_tso4, "segmentation of TCP over IPv4"),
               offer("host_tso6", &Device::host_tso6, "segmentation of TCP over IPv6"),
               offer("guest_tso4", &Device::guest_tso4, "large TCP packets over IPv4 to the guest"),
               offer("guest_tso6", &Device::guest_tso6, "large TCP packets over IPv6 to the guest"),
               offer("mrg_rxbuf", &Device::mrg_rxbuf, "frames in several buffers"),
               offer("status", &Device::status, "the state of the link"),
               offer("ctrl_vq", &Device::ctrl_vq, "the control queue"),
               offer("ctrl_rx", &Device::ctrl_rx, "modes of reception"),
               offer("ctrl_rx_extra", &Device::ctrl_rx_extra, "more modes of reception"),
               offer("ctrl_vlan", &Device::ctrl_vlan, "the VLAN filter"),
               offer("ctrl_mac_addr", &Device::ctrl_mac_addr, "a change of the address"),
               offer("ctrl_guest_offloads", &Device::ctrl_guest_offloads, "a change of the offloads")}))};
  return group;
}

template <VirtioVariant kVariant>
Result<> add_virtio(DeviceSite& site, const DeviceRequest& request) {
  VirtioNetOptions options;
  TRY(virtio_group<kVariant>().apply(request.values, options));
  if (!std::has_single_bit(options.rx_size) || !std::has_single_bit(options.tx_size))
    return fail(ErrorKind::Invalid, "'rx_queue_size' and 'tx_queue_size' accept 256, 512 and 1024");
  if (options.mq)
    return fail(ErrorKind::Unsupported, "mq=on is not supported: the card has one pair of queues");
  NetParts parts = TRY(find_net_parts(site, options, "efi-virtio.rom"));
  options.virtio::VirtioNet::Options::mac = parts.mac;
  options.model = request.driver;
  options.rx_queue_size = static_cast<uint16_t>(options.rx_size);
  options.tx_queue_size = static_cast<uint16_t>(options.tx_size);
  options.mtu = static_cast<uint16_t>(options.host_mtu);
  auto device = std::make_unique<virtio::VirtioNet>(site.virtual_clock(), options, options.ring_options());
  net::Endpoint& end = device->end();
  auto* function = TRY(plug_virtio(site, request, options, kVariant, std::move(device), 4));
  if (parts.rom) {
    if (!options.romfile)
      set_rom_ids({parts.rom->host(), parts.rom->size()}, function->config16(bus::pci::kVendorId),
                  function->config16(bus::pci::kDeviceId));
    function->set_rom(std::move(parts.rom));
  }
  return connect_nic(site, request, options, *function, end, parts.back_end);
}

constexpr const char* kVirtioHelp = "Virtio network card";

}  // namespace

Result<NetParts> find_net_parts(DeviceSite& site, const NetPlace& place, const char* usual_rom) {
  NetParts parts{.mac = kFirstMac};
  net::Network* network = site.backends().network;
  if (place.netdev) parts.back_end = TRY(find_backend(site.backends().netdev, "netdev", *place.netdev));
  parts.rom = TRY(load_rom(site, place, usual_rom));
  if (place.mac) {
    parts.mac = TRY_IN(net::parse_mac(*place.mac), "mac");
    if (network != nullptr) network->take_mac(parts.mac);
  } else if (network != nullptr) {
    parts.mac = network->next_mac();
  }
  return parts;
}

Result<> connect_nic(DeviceSite& site, const DeviceRequest& request, const NetPlace& place,
                     const bus::pci::PciFunction& function, net::Endpoint& end, net::Endpoint* back_end) {
  if (site.backends().network != nullptr) site.backends().network->add_nic(end, request.id, request.driver);
  if (back_end != nullptr) net::Endpoint::connect(end, *back_end);
  if (!place.bootindex) return {};
  return site.add_boot_path(*place.bootindex, bus::pci::firmware_path(function) + "/ethernet-phy@0");
}

std::span<const DeviceDriver> net_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"e1000", "PCI", "Network", "Intel Gigabit Ethernet", [] { return e1000_group().help(); }, add_e1000},
      {"e1000e", "PCI", "Network", "Intel 82574L Gigabit Ethernet", [] { return e1000e_group().help(); },
       add_e1000e},
      {"virtio-net-pci", "PCI", "Network", kVirtioHelp,
       [] { return virtio_group<VirtioVariant::Generic>().help(); }, add_virtio<VirtioVariant::Generic>},
      {"virtio-net", "PCI", "Network", kVirtioHelp,
       [] { return virtio_group<VirtioVariant::Generic>().help(); }, add_virtio<VirtioVariant::Generic>},
      {"virtio-net-pci-non-transitional", "PCI", "Network", kVirtioHelp,
       [] { return virtio_group<VirtioVariant::Modern>().help(); }, add_virtio<VirtioVariant::Modern>},
      {"virtio-net-pci-transitional", "PCI", "Network", kVirtioHelp,
       [] { return virtio_group<VirtioVariant::Transitional>().help(); },
       add_virtio<VirtioVariant::Transitional>},
  };
  return kDrivers;
}

}  // namespace rhea::machine
