// For tests and fuzzers only: every device once, wired to a small world of its own, and visitors that save
// its state and load it back or load noise.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "async/fake_clock.h"
#include "base/check.h"
#include "bus/pci/config_mechanism1.h"
#include "bus/pci/pci_bridge.h"
#include "devices/ata/ahci.h"
#include "devices/ata/ata_disk.h"
#include "devices/ata/atapi_cdrom.h"
#include "devices/ata/piix3_ide.h"
#include "devices/ata/testing/ahci_noise.h"
#include "devices/audio/hda_codec.h"
#include "devices/audio/intel_hda.h"
#include "devices/audio/pc_speaker.h"
#include "devices/bridge/acpi_pci_hotplug.h"
#include "devices/bridge/i440fx.h"
#include "devices/bridge/ich9_lpc.h"
#include "devices/bridge/ich9_smbus.h"
#include "devices/bridge/pcie_ports.h"
#include "devices/bridge/piix3.h"
#include "devices/bridge/piix4_pm.h"
#include "devices/bridge/q35_mch.h"
#include "devices/display/bochs_display.h"
#include "devices/display/ramfb.h"
#include "devices/display/vga_isa.h"
#include "devices/display/vga_pci.h"
#include "devices/dma/i8237.h"
#include "devices/floppy/i82078.h"
#include "devices/input/i8042.h"
#include "devices/input/vmport.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/misc/debug_ports.h"
#include "devices/misc/edu.h"
#include "devices/misc/fw_cfg.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"
#include "devices/misc/x87_error.h"
#include "devices/net/e1000.h"
#include "devices/net/e1000e.h"
#include "devices/parallel/lpt.h"
#include "devices/serial/uart16550.h"
#include "devices/storage/pflash.h"
#include "devices/testing_drives.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/mc146818.h"
#include "devices/usb/ehci.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_keyboard.h"
#include "devices/usb/usb_pointer.h"
#include "devices/usb/usb_storage.h"
#include "devices/usb/xhci.h"
#include "devices/virtio/testing/ring_noise.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "devices/virtio/virtio_serial.h"

namespace rhea::devices::testing {

using bus::pci::PciFunction;

class Saver final : public bus::StateVisitor {
 public:
  void number(std::string_view name, uint64_t& value, unsigned bytes) override {
    text += std::string(name) + "=" + std::to_string(value) + "\n";
    numbers.push_back({value, bytes});
  }
  void bytes(std::string_view name, std::span<uint8_t> value) override {
    text += std::string(name) + "=" + std::string(value.begin(), value.end()) + "\n";
    blobs.emplace_back(value.begin(), value.end());
  }
  void enter(std::string_view name) override { text += std::string(name) + " {\n"; }
  void leave() override { text += "}\n"; }
  struct Number {
    uint64_t value;
    unsigned bytes;
  };
  std::string text;
  std::vector<Number> numbers;
  std::vector<std::vector<uint8_t>> blobs;
};

// Gives back what was saved, or noise.
class Loader final : public bus::StateVisitor {
 public:
  explicit Loader(const Saver& from, std::mt19937_64* noise = nullptr) : from_(from), noise_(noise) {}
  void number(std::string_view, uint64_t& value, unsigned) override {
    const uint64_t saved = from_.numbers.at(next_number_++).value;
    value = noise_ == nullptr ? saved : (*noise_)() >> ((*noise_)() % 64);
  }
  void bytes(std::string_view, std::span<uint8_t> value) override {
    const auto& saved = from_.blobs.at(next_blob_++);
    for (size_t i = 0; i < value.size(); ++i)
      value[i] = noise_ == nullptr ? saved.at(i) : static_cast<uint8_t>((*noise_)());
  }
  void enter(std::string_view) override {}
  void leave() override {}
  bool loading() const override { return true; }

 private:
  const Saver& from_;
  std::mt19937_64* noise_;
  size_t next_number_ = 0, next_blob_ = 0;
};

struct Nowhere : bus::IrqSink, bus::ApicBus, HostBridgeListener, PowerListener {
  void set_irq(unsigned, bool) override {}
  void deliver(const bus::ApicMessage&) override {}
  void pam_changed(uint32_t, uint32_t, bool, bool) override {}
  void smram_changed(bool, bool, bool) override {}
  void tseg_changed(uint64_t) override {}
  void power_off() override {}
  void suspend_to_ram() override {}
  void raise_smi() override {}
};

struct Terminal : chardev::Chardev {
  chardev::Frontend* front = nullptr;
  void attach(chardev::Frontend* frontend) override { front = frontend; }
  size_t write(std::span<const uint8_t> bytes) override { return bytes.size(); }
  void resume_input() override {}
};

// Keeps a screen being refreshed.
struct Onlooker : display::Viewer {
  explicit Onlooker(display::Screen& s) : screen(s) { screen.add(*this); }
  ~Onlooker() override { screen.remove(*this); }
  void surface_changed(const display::Surface&) override {}
  void changed(const display::Rect&) override {}
  display::Screen& screen;
};

// The other end of a network card's cable.
struct Cable final : net::Endpoint {
  Cable() : net::Endpoint("cable") {}
  void receive(net::Frame, const net::Offload&) override {}
  std::string info() const override { return "index=0"; }
};

// The world that a device under test is wired to.
struct World {
  World() : ram(*memory::RamBlock::create("ram", 0x100000)) {
    CHECK(memory.map_ram(Gpa{0}, *ram, 0, ram->size()).has_value());
  }
  bus::IrqLine line() { return bus::IrqLine(nowhere, 0); }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram;
  async::FakeClock clock{1'700'000'000'000'000'000};
  TestDrives disks{lock, clock};
  Nowhere nowhere;
  Terminal terminal;
  display::Screen screen{clock, "screen"};
  Onlooker onlooker{screen};
  FwCfg fw_cfg{{.memory = memory}};
  Cable cable;
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = &nowhere, .apics = &nowhere}};
};

struct Region {
  memory::IoHandler* handler;
  uint64_t size;
};

struct Specimen {
  std::unique_ptr<bus::Device> device;
  std::vector<Region> regions;
  PciFunction* function = nullptr;
  std::function<void(uint64_t)> poke{};  // what else the outside does to it
};

// A transaction of a kind that the number chooses.
inline void poke_usb(bus::usb::UsbDevice& device, uint64_t v) {
  std::array<uint8_t, 64> data{};
  for (size_t i = 0; i < 8; ++i) data[i] = static_cast<uint8_t>(v >> (8 * i));
  const auto endpoint = static_cast<unsigned>(v >> 60);
  static_cast<void>(device.setup(std::span<const uint8_t, 8>(data.data(), 8)));
  static_cast<void>(device.out(endpoint, std::span<const uint8_t>(data).first(v % 65)));
  static_cast<void>(device.in(0, data));
  static_cast<void>(device.in(endpoint, std::span(data).first(v % 65)));
}

inline Specimen usb_storage(bool cdrom) {
  Specimen s{.device = std::make_unique<UsbStorage>(UsbStorage::Wiring{.cdrom = cdrom}), .regions = {}};
  auto* disk = static_cast<UsbStorage*>(s.device.get());
  s.poke = [disk](uint64_t v) {
    poke_usb(*disk, v);
    // A command wrapper around the number.
    std::array<uint8_t, 31> wrapper{'U', 'S', 'B', 'C'};
    for (size_t i = 0; i < 8; ++i) wrapper[8 + i] = wrapper[15 + i] = static_cast<uint8_t>(v >> (8 * i));
    wrapper[13] = 0;
    wrapper[14] = 16;
    static_cast<void>(disk->setup(std::array<uint8_t, 8>{0, 9, 1, 0, 0, 0, 0, 0}));
    static_cast<void>(disk->in(0, {}));
    static_cast<void>(disk->out(2, wrapper));
    std::array<uint8_t, 64> data{};
    static_cast<void>(disk->in(1, data));
    static_cast<void>(disk->out(2, data));
  };
  return s;
}

inline Specimen usb_pointer(World& world, UsbPointer::Form form) {
  Specimen s{.device = std::make_unique<UsbPointer>(UsbPointer::Wiring{.clock = world.clock, .form = form}),
             .regions = {}};
  auto* pointer = static_cast<UsbPointer*>(s.device.get());
  s.poke = [pointer](uint64_t v) {
    poke_usb(*pointer, v);
    pointer->motion(static_cast<int>(v), static_cast<int>(v >> 20));
    pointer->place(static_cast<int>(v), static_cast<int>(v >> 20));
    pointer->wheel(static_cast<int>(v >> 8), 0);
    pointer->button(static_cast<display::Button>(v >> 8 & 7), v / 65536 % 2 != 0);
    pointer->sync();
  };
  return s;
}

// What a bus master with nothing behind it is.
struct NoDma final : FloppyDma {
  size_t to_memory(std::span<const uint8_t> from) override { return from.size() / 2; }
  size_t from_memory(std::span<uint8_t> to) override { return to.size(); }
  bool terminal_count() const override { return false; }
};

// A device and those that are plugged into it, as one.
class Assembly final : public bus::Device {
 public:
  explicit Assembly(std::vector<std::unique_ptr<bus::Device>> parts, std::shared_ptr<void> extra = nullptr)
      : extra_(std::move(extra)), parts_(std::move(parts)) {}
  ~Assembly() override {
    while (!parts_.empty()) parts_.pop_back();
  }
  std::string_view name() const override { return "assembly"; }
  void reset(bus::ResetKind kind) override {
    for (const auto& part : parts_) part->reset(kind);
  }
  void state(bus::StateVisitor& v) override {
    for (const auto& part : parts_) part->state(v);
  }

 private:
  std::shared_ptr<void> extra_;
  std::vector<std::unique_ptr<bus::Device>> parts_;
};

inline Specimen ide_with_units(World& world) {
  auto ide = std::make_unique<Piix3Ide>(Piix3Ide::Wiring{.irq14 = world.line(), .irq15 = world.line()});
  world.bus.attach(*ide, bus::pci::devfn_of(3, 0));
  auto disk = *AtaDisk::create(world.disks.add("disk", 1 << 20, false, true), {});
  auto cdrom = *AtapiCdrom::create(world.disks.add("disc", 1 << 20, true), {});
  ide->channel(0).plug(*disk, 0);
  ide->channel(0).plug(*cdrom, 1);
  Specimen specimen;
  specimen.function = ide.get();
  specimen.regions = {{&ide->channel(0).command_block(), IdeChannel::kCommandBytes},
                      {&ide->channel(0).control_block(), IdeChannel::kControlBytes},
                      {&ide->channel(1).command_block(), IdeChannel::kCommandBytes}};
  specimen.poke = [&world](uint64_t) { world.disks.settle(); };
  std::vector<std::unique_ptr<bus::Device>> parts;
  parts.push_back(std::move(ide));
  parts.push_back(std::move(disk));
  parts.push_back(std::move(cdrom));
  specimen.device = std::make_unique<Assembly>(std::move(parts));
  return specimen;
}

inline Specimen floppy_with_drives(World& world) {
  auto dma = std::make_shared<NoDma>();
  auto fdc = std::make_unique<I82078>(I82078::Wiring{.irq = world.line(), .dma = dma.get()});
  auto first = *FloppyDrive::create(world.disks.add("fd0", 1440 * 1024), FloppyType::None);
  auto second = *FloppyDrive::create(world.disks.add("fd1"), FloppyType::D1440);
  fdc->plug(*first, 0);
  fdc->plug(*second, 1);
  Specimen specimen;
  specimen.regions = {{fdc.get(), I82078::kIoSize}};
  specimen.poke = [&world](uint64_t) { world.disks.settle(); };
  std::vector<std::unique_ptr<bus::Device>> parts;
  parts.push_back(std::move(fdc));
  parts.push_back(std::move(first));
  parts.push_back(std::move(second));
  specimen.device = std::make_unique<Assembly>(std::move(parts), dma);
  return specimen;
}

inline Specimen ahci_with_units(World& world) {
  auto ahci = std::make_unique<Ahci>();
  world.bus.attach(*ahci, bus::pci::devfn_of(3, 0));
  auto disk = *AtaDisk::create(world.disks.add("disk", 1 << 20, false, true), {});
  auto cdrom = *AtapiCdrom::create(world.disks.add("disc", 1 << 20, true), {});
  ahci->port(0).plug(*disk, 0);
  ahci->port(1).plug(*cdrom, 0);
  Specimen specimen;
  specimen.function = ahci.get();
  specimen.regions = {{ahci.get(), 0x280}, {&ahci->index_ports(), Ahci::kIndexBytes}};
  auto noise = std::make_shared<AhciNoise>(*ahci, *world.ram);
  specimen.poke = [&world, noise](uint64_t v) {
    noise->run(v);
    if (v % 16 != 0) world.disks.settle();
  };
  std::vector<std::unique_ptr<bus::Device>> parts;
  parts.push_back(std::move(ahci));
  parts.push_back(std::move(disk));
  parts.push_back(std::move(cdrom));
  specimen.device = std::make_unique<Assembly>(std::move(parts));
  return specimen;
}

inline Specimen virtio_function(World& world, std::unique_ptr<virtio::VirtioDevice> device,
                                std::unique_ptr<bus::Device> plugged = nullptr) {
  auto pci = std::make_unique<virtio::VirtioPci>(std::move(device), virtio::VirtioPci::Options{});
  world.bus.attach(*pci, bus::pci::devfn_of(3, 0));
  Specimen specimen;
  specimen.function = pci.get();
  for (unsigned bar : {0u, 1u, 4u}) specimen.regions.push_back({pci->bar_handler(bar), pci->bar_size(bar)});
  auto noise = std::make_shared<virtio::testing::RingNoise>(*pci, *world.ram);
  specimen.poke = [&world, noise](uint64_t v) {
    noise->run(v);
    if (v % 16 != 0) world.disks.settle();
  };
  std::vector<std::unique_ptr<bus::Device>> parts;
  parts.push_back(std::move(pci));
  if (plugged != nullptr) parts.push_back(std::move(plugged));
  specimen.device = std::make_unique<Assembly>(std::move(parts));
  return specimen;
}

inline Specimen virtio_serial_with_port(World& world) {
  auto serial = std::make_unique<virtio::VirtioSerial>(virtio::VirtioSerial::Options{},
                                                       virtio::RingOptions{.packed = true});
  auto port = std::make_unique<virtio::VirtioPort>(
      virtio::VirtioPort::Options{.console = true, .name = "console", .backend = &world.terminal});
  CHECK(serial->plug(*port, std::nullopt).has_value());
  return virtio_function(world, std::move(serial), std::move(port));
}

struct Entry {
  const char* name;
  std::function<Specimen(World&)> make;
};

template <class T>
Specimen with(std::unique_ptr<T> device, uint64_t size) {
  T* raw = device.get();
  return {.device = std::move(device), .regions = {{raw, size}}};
}

template <class T>
Specimen on_bus(World& world, std::unique_ptr<T> device) {
  T* raw = device.get();
  world.bus.attach(*raw, bus::pci::devfn_of(3, 0));
  Specimen specimen{.device = std::move(device), .regions = {}};
  specimen.function = raw;
  return specimen;
}

inline Specimen virtio_on_bus(World& world, std::unique_ptr<virtio::VirtioDevice> device) {
  auto function = std::make_unique<virtio::VirtioPci>(std::move(device), virtio::VirtioPci::Options{});
  virtio::VirtioPci* raw = function.get();
  Specimen specimen = on_bus(world, std::move(function));
  for (const unsigned bar : {0u, 1u, 4u})
    if (raw->bar_handler(bar) != nullptr)
      specimen.regions.push_back({raw->bar_handler(bar), raw->bar_size(bar)});
  return specimen;
}

inline std::vector<Entry> entries() {
  return {
      {"i440fx",
       [](World& w) { return on_bus(w, std::make_unique<I440fx>(I440fx::Wiring{.board = &w.nowhere})); }},
      {"piix3",
       [](World& w) {
         Specimen s =
             on_bus(w, std::make_unique<Piix3>(Piix3::Wiring{.isa = &w.nowhere, .reset = [](bool) {}}));
         auto* piix3 = static_cast<Piix3*>(s.device.get());
         s.regions = {{piix3, 1}};
         s.poke = [piix3](uint64_t v) { piix3->set_irq(v % 4, v / 4 % 2 != 0); };
         return s;
       }},
      {"piix4_pm",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<Piix4Pm>(Piix4Pm::Wiring{
                                    .clock = w.clock, .sci = w.line(), .machine = &w.nowhere}));
         auto* pm = static_cast<Piix4Pm*>(s.device.get());
         s.regions = {{&pm->apm_ports(), 2}, {&pm->gpe_ports(), Piix4Pm::kGpeBytes}, {&pm->smbus(), 64}};
         s.poke = [pm](uint64_t v) {
           v % 2 == 0 ? pm->acpi().press_power_button() : pm->acpi().raise_gpe(v / 2 % 16);
         };
         return s;
       }},
      {"acpi_pci_hotplug",
       [](World&) {
         auto made = std::make_unique<AcpiPciHotplug>(
             AcpiPciHotplug::Wiring{.raise_event = [] {},
                                    .removable = [](unsigned) { return 0xfffffffcu; },
                                    .eject = [](unsigned, unsigned, bool) {}});
         auto* hotplug = made.get();
         bus::pci::SlotHotplug* slots[] = {&hotplug->add_bus(), &hotplug->add_bus()};
         Specimen s{.device = std::move(made), .regions = {}};
         s.regions = {{hotplug, AcpiPciHotplug::kIoSize}};
         s.poke = [first = slots[0], second = slots[1]](uint64_t v) {
           bus::pci::SlotHotplug& bus = v % 4 < 2 ? *first : *second;
           v % 2 == 0 ? bus.arrived(v / 4 % 32) : bus.ask_for_removal(v / 4 % 32);
         };
         return s;
       }},
      {"q35_mch",
       [](World& w) {
         return on_bus(w, std::make_unique<Q35Mch>(Q35Mch::Wiring{.root = w.bus, .board = &w.nowhere}));
       }},
      {"ich9_lpc",
       [](World& w) {
         Specimen s = on_bus(
             w, std::make_unique<Ich9Lpc>(Ich9Lpc::Wiring{
                    .clock = w.clock, .gsi = &w.nowhere, .reset = [](bool) {}, .machine = &w.nowhere}));
         auto* lpc = static_cast<Ich9Lpc*>(s.device.get());
         s.regions = {{&lpc->apm_ports(), 2}, {&lpc->reset_control(), 1}};
         s.poke = [lpc](uint64_t v) {
           lpc->set_irq(v % 8, v / 8 % 2 != 0);
           if (v % 64 == 0) lpc->acpi().raise_gpe(v / 64 % 64);
           lpc->config_write(0x44, 1, 0x80);
           lpc->config_write(0x40, 4, 0x600);
         };
         return s;
       }},
      {"ich9_pm",
       [](World& w) {
         Specimen s = on_bus(
             w, std::make_unique<Ich9Lpc>(Ich9Lpc::Wiring{
                    .clock = w.clock, .gsi = &w.nowhere, .reset = [](bool) {}, .machine = &w.nowhere}));
         s.regions = {{&static_cast<Ich9Lpc*>(s.device.get())->power_ports(), Ich9Lpc::kPmSize}};
         return s;
       }},
      {"ich9_smbus", [](World& w) { return on_bus(w, std::make_unique<Ich9Smbus>()); }},
      {"pcie_root_port",
       [](World& w) {
         return on_bus(
             w, std::make_unique<PcieRootPort>(w.bus.wiring(), PcieRootPort::Options{.port = 1, .slot = 2}));
       }},
      {"pcie_pci_bridge",
       [](World& w) { return on_bus(w, std::make_unique<PciePciBridge>(w.bus.wiring())); }},
      {"pflash",
       [](World& w) {
         return with(std::make_unique<Pflash>(Pflash::Wiring{.array = *w.ram, .size = 0x100000}), 0x100000);
       }},
      {"pci_bridge",
       [](World& w) { return on_bus(w, std::make_unique<bus::pci::PciBridge>(w.bus.wiring())); }},
      {"config_mechanism1",
       [](World& w) {
         return with(
             std::make_unique<bus::pci::ConfigMechanism1>(bus::pci::ConfigMechanism1::Wiring{.root = w.bus}),
             8);
       }},
      {"i8259",
       [](World& w) {
         Specimen s = with(std::make_unique<I8259Pair>(I8259Pair::Wiring{.intr = w.line()}), 6);
         auto* pic = static_cast<I8259Pair*>(s.device.get());
         s.poke = [pic](uint64_t v) {
           pic->set_irq(v % 16, v / 16 % 2 != 0);
           if (v / 32 % 2 != 0) static_cast<void>(pic->acknowledge_extint());
         };
         return s;
       }},
      {"ioapic",
       [](World& w) {
         Specimen s = with(std::make_unique<IoApic>(IoApic::Wiring{.apics = w.nowhere}), IoApic::kIoSize);
         auto* apic = static_cast<IoApic*>(s.device.get());
         s.poke = [apic](uint64_t v) {
           apic->set_irq(v % 32, v / 32 % 2 != 0);
           apic->end_of_interrupt(static_cast<uint8_t>(v >> 8));
         };
         return s;
       }},
      {"i8254",
       [](World& w) {
         return with(std::make_unique<I8254>(I8254::Wiring{.clock = w.clock, .irq0 = w.line()}), 5);
       }},
      {"mc146818",
       [](World& w) {
         return with(std::make_unique<Mc146818>(Mc146818::Wiring{.clock = w.clock,
                                                                 .irq8 = w.line(),
                                                                 .base_ns = 1'700'000'000'000'000'000,
                                                                 .nmi_mask = [](bool) {}}),
                     4);
       }},
      {"hpet",
       [](World& w) {
         Specimen s = with(std::make_unique<Hpet>(Hpet::Wiring{.clock = w.clock,
                                                               .gsi = &w.nowhere,
                                                               .irq0 = w.line(),
                                                               .irq8 = w.line(),
                                                               .message = [](uint64_t, uint32_t) {}}),
                           Hpet::kIoSize);
         auto* hpet = static_cast<Hpet*>(s.device.get());
         s.poke = [hpet](uint64_t v) { hpet->set_irq(v % 2, v / 2 % 2 != 0); };
         return s;
       }},
      {"i8042",
       [](World& w) {
         Specimen s = with(std::make_unique<I8042>(I8042::Wiring{
                               .irq1 = w.line(), .irq12 = w.line(), .a20 = [](bool) {}, .reset = [] {}}),
                           2);
         auto* kbc = static_cast<I8042*>(s.device.get());
         s.poke = [kbc](uint64_t v) {
           kbc->keyboard().key(static_cast<display::Key>(v), v / 65536 % 2 != 0);
           kbc->mouse().motion(static_cast<int>(v), static_cast<int>(v >> 20));
           kbc->mouse().wheel(static_cast<int>(v >> 8), 0);
           kbc->mouse().button(static_cast<display::Button>(v >> 8 & 7), v / 65536 % 2 != 0);
           kbc->mouse().sync();
         };
         return s;
       }},
      {"vmport",
       [](World&) {
         auto registers = std::make_shared<std::array<uint64_t, 16>>();
         Specimen s = with(std::make_unique<VmPort>(VmPort::Wiring{
                               .registers = [registers] { return registers->data(); }, .signal = [] {}}),
                           VmPort::kIoSize);
         auto* port = static_cast<VmPort*>(s.device.get());
         s.poke = [registers, port](uint64_t v) {
           constexpr uint32_t kWords[] = {0x45414552, 0xf5, 0x53424152, 4};
           *registers = {0x564d5868, 38 + v % 4, 0, kWords[v / 4 % 4]};
           port->place(static_cast<int>(v), static_cast<int>(v >> 8));
           port->sync();
         };
         return s;
       }},
      {"port92",
       [](World&) {
         return with(std::make_unique<Port92>(Port92::Wiring{.a20 = [](bool) {}, .reset = [] {}}), 1);
       }},
      {"x87_error", [](World& w) { return with(std::make_unique<X87Error>(X87Error::Wiring{w.line()}), 2); }},
      {"uart16550",
       [](World& w) {
         Specimen s = with(std::make_unique<Uart16550>(
                               Uart16550::Wiring{.clock = w.clock, .irq = w.line(), .backend = &w.terminal}),
                           8);
         auto* uart = static_cast<Uart16550*>(s.device.get());
         s.poke = [uart](uint64_t v) {
           const uint8_t byte = static_cast<uint8_t>(v);
           if (uart->can_receive() != 0) uart->receive({&byte, 1});
           if (v % 8 == 0) uart->receive_break();
         };
         return s;
       }},
      {"vga",
       [](World& w) {
         Specimen s =
             on_bus(w, *VgaPci::create({.clock = w.clock, .legacy = &w.memory, .screen = &w.screen},
                                       {.memory_bytes = 0x100000}, std::array<uint8_t, 3>{0x55, 0xaa, 1}));
         VgaCore& core = static_cast<VgaPci*>(s.device.get())->core();
         s.regions = {{&core.ports(), vga::kPortCount},
                      {&core.window(), VgaMemory::kWindowSize},
                      {&core.dispi_ports(), VgaCore::kDispiPorts},
                      {&core.mmio(), VgaCore::kMmioSize}};
         s.poke = [&w](uint64_t) { w.screen.refresh(); };
         return s;
       }},
      {"isa_vga",
       [](World& w) {
         Specimen s{
             .device = std::make_unique<VgaIsa>(*VgaCore::create(
                 {.clock = w.clock, .legacy = &w.memory, .screen = &w.screen}, {.memory_bytes = 0x100000})),
             .regions = {}};
         VgaCore& core = static_cast<VgaIsa*>(s.device.get())->core();
         s.regions = {{&core.ports(), vga::kPortCount}, {&core.dispi_ports(), VgaCore::kDispiPorts}};
         return s;
       }},
      {"bochs_display",
       [](World& w) {
         Specimen s = on_bus(w, *BochsDisplay::create({.screen = &w.screen}, {.memory_bytes = 0x100000}, {}));
         s.regions = {{&static_cast<BochsDisplay*>(s.device.get())->mmio(), BochsDisplay::kMmioSize}};
         return s;
       }},
      {"ramfb",
       [](World& w) {
         Specimen s{.device = std::make_unique<Ramfb>(
                        Ramfb::Wiring{.memory = w.memory, .fw_cfg = w.fw_cfg, .screen = &w.screen}),
                    .regions = {{&w.fw_cfg, FwCfg::kIoSize}}};
         return s;
       }},
      {"i8237",
       [](World& w) {
         Specimen s =
             with(std::make_unique<I8237Pair>(I8237Pair::Wiring{.memory = w.memory}), I8237Pair::kIoSize);
         auto* dma = static_cast<I8237Pair*>(s.device.get());
         s.poke = [dma](uint64_t v) {
           const uint8_t bytes[64] = {};
           static_cast<void>(dma->to_memory(v % 8, bytes));
         };
         return s;
       }},
      {"fw_cfg",
       [](World& w) {
         auto cfg = std::make_unique<FwCfg>(FwCfg::Wiring{.memory = w.memory});
         cfg->set_file("etc/ro", {1, 2, 3});
         cfg->set_file("etc/rw", std::vector<uint8_t>(100), true);
         return with(std::move(cfg), FwCfg::kIoSize);
       }},
      {"debug_console",
       [](World& w) {
         return with(std::make_unique<DebugConsole>(DebugConsole::Wiring{.output = &w.terminal}), 1);
       }},
      {"lpt",
       [](World& w) {
         return with(std::make_unique<Lpt>(Lpt::Wiring{.irq = w.line(), .backend = &w.terminal}), 3);
       }},
      {"debug_exit",
       [](World&) { return with(std::make_unique<DebugExit>(DebugExit::Wiring{.exit = [](int) {}}), 2); }},
      {"post_port", [](World&) { return with(std::make_unique<PostPort>(), 1); }},
      {"pc_testdev",
       [](World& w) {
         return with(std::make_unique<PcTestDevice>(
                         PcTestDevice::Wiring{.gsi = &w.nowhere, .flush = [](uint64_t) {}}),
                     PcTestDevice::kMemory + PcTestDevice::kMemorySize);
       }},
      {"piix3_ide", ide_with_units},
      {"i82078", floppy_with_drives},
      {"ahci", ahci_with_units},
      {"virtio_blk",
       [](World& w) {
         return virtio_function(w, *virtio::VirtioBlk::create(w.disks.add("disk", 1 << 20, false, true),
                                                              {.queues = 2}, {.packed = true}));
       }},
      {"virtio_rng",
       [](World& w) {
         return virtio_function(w, std::make_unique<virtio::VirtioRng>(
                                       std::make_shared<virtio::BuiltinEntropy>(), w.clock,
                                       virtio::VirtioRng::Options{.max_bytes = 1000, .period_ms = 10},
                                       virtio::RingOptions{.packed = true}));
       }},
      {"virtio_serial", virtio_serial_with_port},
      {"virtio_balloon",
       [](World& w) {
         return virtio_function(w, std::make_unique<virtio::VirtioBalloon>(
                                       virtio::VirtioBalloon::Options{.deflate_on_oom = true},
                                       virtio::RingOptions{.packed = true}));
       }},
      {"pci_testdev", [](World& w) { return on_bus(w, std::make_unique<PciTestDevice>(0x10000)); }},
      {"e1000",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<E1000>(E1000::Wiring{
                                    .clock = w.clock, .mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}}));
         auto* nic = static_cast<E1000*>(s.device.get());
         s.regions = {{nic, E1000::kMemorySize}, {&nic->ports(), E1000::kPortsSize}};
         net::Endpoint::connect(nic->end(), w.cable);
         s.poke = [nic, &w](uint64_t v) {
           std::vector<uint8_t> frame(v >> 8 & 0x3fff);
           if (frame.size() >= 6 && v % 4 != 0) std::fill_n(frame.begin(), 6, uint8_t{0xff});
           if (v % 16 == 15) nic->end().set_link((v & 0x80) != 0);
           w.cable.send(frame);
         };
         return s;
       }},
      {"e1000e",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<E1000e>(E1000::Wiring{
                                    .clock = w.clock, .mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}}));
         auto* nic = static_cast<E1000e*>(s.device.get());
         s.regions = {{nic, E1000::kMemorySize},
                      {&nic->vectors(), E1000e::kVectorsSize},
                      {&nic->ports(), E1000e::kWindowSize}};
         net::Endpoint::connect(nic->end(), w.cable);
         s.poke = [&w](uint64_t v) {
           std::vector<uint8_t> frame(v >> 8 & 0x3fff);
           if (frame.size() >= 6 && v % 4 != 0) std::fill_n(frame.begin(), 6, uint8_t{0xff});
           w.cable.send(frame);
         };
         return s;
       }},
      {"virtio_net",
       [](World& w) {
         auto device = std::make_unique<virtio::VirtioNet>(
             w.clock, virtio::VirtioNet::Options{.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}},
             virtio::RingOptions{});
         net::Endpoint::connect(device->end(), w.cable);
         Specimen s = virtio_on_bus(w, std::move(device));
         s.poke = [&w](uint64_t v) {
           std::vector<uint8_t> frame(v >> 8 & 0xfff);
           w.cable.send(frame, {.checksum_good = (v & 1) != 0});
         };
         return s;
       }},
      {"edu",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<Edu>(Edu::Wiring{.clock = w.clock}));
         s.regions = {{static_cast<Edu*>(s.device.get()), 0x100000}};
         return s;
       }},
      {"intel_hda",
       [](World& w) {
         struct Link {
           explicit Link(HdaBus& bus) : codec({.bus = bus, .address = 0, .output = true, .input = true}) {}
           StereoHdaCodec codec;
         };
         Specimen s = on_bus(w, std::make_unique<IntelHda>(IntelHda::Wiring{.clock = w.clock}));
         auto* hda = static_cast<IntelHda*>(s.device.get());
         auto link = std::make_shared<Link>(hda->hda_bus());
         s.regions = {{hda, 0x4000}};
         World* world = &w;
         s.poke = [world, hda, link](uint64_t v) {
           hda->io_write(8, 4, 1);
           hda->io_write(0x60, 4, v & 0x0fffffff);
           hda->io_write(0x68, 2, 1);
           hda->io_write(0x100, 1, v >> 28 & 7);
           world->clock.advance(static_cast<int64_t>(v % 8'000'000));
         };
         return s;
       }},
      {"hda_codec",
       [](World&) {
         static HdaBus bus;
         Specimen s{.device = std::make_unique<StereoHdaCodec>(
                        StereoHdaCodec::Wiring{.bus = bus, .address = 1, .output = true, .input = true}),
                    .regions = {}};
         auto* codec = static_cast<StereoHdaCodec*>(s.device.get());
         s.poke = [codec](uint64_t v) {
           codec->command(static_cast<unsigned>(v % 7), v >> 8 & 0xfffff);
           codec->stream_running(v >> 28 & 3, true, (v >> 30) % 2 != 0);
         };
         return s;
       }},
      {"hda_micro",
       [](World&) {
         static HdaBus bus;
         static audio::Backend backend("x", {}, nullptr, nullptr);
         Specimen s{.device = std::make_unique<StereoHdaCodec>(StereoHdaCodec::Wiring{
                        .bus = bus, .address = 2, .backend = &backend, .input = true, .micro = true}),
                    .regions = {}};
         auto* codec = static_cast<StereoHdaCodec*>(s.device.get());
         s.poke = [codec](uint64_t v) {
           std::array<uint8_t, 256> samples{};
           codec->command(static_cast<unsigned>(v % 7), v >> 8 & 0xfffff);
           codec->stream_running(v >> 28 & 3, (v >> 31) % 2 != 0, (v >> 30) % 2 != 0);
           codec->play(v >> 28 & 3, samples);
           codec->record(v >> 28 & 3, std::span(samples).first(v >> 32 & 0xff));
         };
         return s;
       }},
      {"pcspk",
       [](World& w) {
         static audio::Backend backend("x", {}, nullptr, nullptr);
         Specimen s{
             .device = std::make_unique<PcSpeaker>(PcSpeaker::Wiring{.clock = w.clock, .backend = backend}),
             .regions = {}};
         auto* speaker = static_cast<PcSpeaker*>(s.device.get());
         World* world = &w;
         s.poke = [world, speaker](uint64_t v) {
           speaker->tone(v % 70000);
           world->clock.advance(static_cast<int64_t>(v >> 20 & 0xffffff));
         };
         return s;
       }},
      {"uhci",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<Uhci>(Uhci::Wiring{.clock = w.clock}));
         s.regions = {{static_cast<Uhci*>(s.device.get()), 32}};
         World* world = &w;
         s.poke = [world](uint64_t v) { world->clock.advance(static_cast<int64_t>(v % 4'000'000)); };
         return s;
       }},
      {"xhci",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<Xhci>(Xhci::Wiring{.clock = w.clock}));
         s.regions = {{&static_cast<Xhci*>(s.device.get())->registers(), xhci::kBarSize}};
         World* world = &w;
         s.poke = [world](uint64_t v) { world->clock.advance(static_cast<int64_t>(v % 4'000'000)); };
         return s;
       }},
      {"ehci",
       [](World& w) {
         Specimen s = on_bus(w, std::make_unique<Ehci>(Ehci::Wiring{.clock = w.clock}));
         s.regions = {{static_cast<Ehci*>(s.device.get()), Ehci::kIoSize}};
         return s;
       }},
      {"usb_hub",
       [](World&) {
         Specimen s{.device = std::make_unique<UsbHub>(), .regions = {}};
         auto* hub = static_cast<UsbHub*>(s.device.get());
         s.poke = [hub](uint64_t v) { poke_usb(*hub, v); };
         return s;
       }},
      {"usb_storage", [](World&) { return usb_storage(false); }},
      {"usb_storage_cd", [](World&) { return usb_storage(true); }},
      {"usb_keyboard",
       [](World& w) {
         Specimen s{.device = std::make_unique<UsbKeyboard>(UsbKeyboard::Wiring{.clock = w.clock}),
                    .regions = {}};
         auto* keyboard = static_cast<UsbKeyboard*>(s.device.get());
         s.poke = [keyboard](uint64_t v) {
           poke_usb(*keyboard, v);
           keyboard->key(static_cast<display::Key>(v % display::kKeyCount), v / 65536 % 2 != 0);
         };
         return s;
       }},
      {"usb_tablet", [](World& w) { return usb_pointer(w, UsbPointer::Form::Tablet); }},
      {"usb_mouse", [](World& w) { return usb_pointer(w, UsbPointer::Form::Mouse); }},
  };
}

}  // namespace rhea::devices::testing
