// The floppy disk controller of the ISA bus and its drives.

#include <fmt/format.h>

#include <memory>

#include "base/failf.h"
#include "config/schema.h"
#include "devices/dma/i8237.h"
#include "devices/floppy/i82078.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/storage_place.h"

namespace rhea::machine {
namespace {

using devices::FloppyDrive;
using devices::FloppyType;
using devices::I82078;

constexpr unsigned kDmaChannel = 2, kIrq = 6;
constexpr uint32_t kPorts = 0x3f0;
// The sixth port of the block belongs to the hard disks.
constexpr unsigned kLowPorts = 6, kHighPort = 7;

struct FdcOptions {
  std::optional<unsigned> bootindex_a, bootindex_b;
};
struct FloppyOptions {
  std::optional<std::string> drive, bus;
  std::optional<unsigned> unit;
  FloppyType type = FloppyType::None;
};

const config::Group<FdcOptions>& fdc_group() {
  static const config::Group<FdcOptions> group{
      "isa-fdc",
      "",
      {config::integer("bootindexA", &FdcOptions::bootindex_a, 0u, 0x7fffffffu,
                       "place of the first drive in the firmware's order"),
       config::integer("bootindexB", &FdcOptions::bootindex_b, 0u, 0x7fffffffu, "of the second drive")}};
  return group;
}

const config::Group<FloppyOptions>& floppy_group() {
  static const config::Group<FloppyOptions> group{
      "floppy",
      "",
      {config::text("drive", &FloppyOptions::drive, "id of a -drive or node name of a -blockdev"),
       config::text("bus", &FloppyOptions::bus, "name of a floppy bus"),
       config::integer("unit", &FloppyOptions::unit, 0u, 1u, "0 or 1"),
       config::choice("drive-type", &FloppyOptions::type,
                      {{"auto", FloppyType::None},
                       {"144", FloppyType::D1440},
                       {"288", FloppyType::D2880},
                       {"120", FloppyType::D1200}},
                      "auto: by the disk that is in, 288 if there is none")}};
  return group;
}

// The controller with its channel of the DMA controller.
class IsaFdc final : public bus::Device, private devices::FloppyDma {
 public:
  IsaFdc(devices::I8237Pair& dma, const bus::IrqLine& irq) : dma_(dma), chip_({.irq = irq, .dma = this}) {}

  std::string_view name() const override { return chip_.name(); }
  void reset(bus::ResetKind kind) override { chip_.reset(kind); }
  void state(bus::StateVisitor& v) override { chip_.state(v); }
  I82078& chip() { return chip_; }

 private:
  size_t to_memory(std::span<const uint8_t> from) override { return dma_.to_memory(kDmaChannel, from); }
  size_t from_memory(std::span<uint8_t> to) override { return dma_.from_memory(kDmaChannel, to); }
  bool terminal_count() const override { return dma_.terminal_count(kDmaChannel); }

  devices::I8237Pair& dma_;
  I82078 chip_;
};

Result<> add_controller(DeviceSite& site, const DeviceRequest& request) {
  FdcOptions options;
  TRY(fdc_group().apply(request.values, options));
  if (site.isa_dma() == nullptr) return fail(ErrorKind::Unsupported, "this machine has no ISA DMA");
  auto& fdc = site.tree().own(request, std::make_unique<IsaFdc>(*site.isa_dma(), site.isa_irq(kIrq)));
  TRY(site.map_ports(kPorts, kLowPorts, fdc.chip()));
  TRY(site.map_ports(kPorts + kHighPort, 1, fdc.chip(), kHighPort));
  site.note_floppy_controller();
  site.tree().add_bus("floppy-bus.0", fdc.chip(), &fdc);
  const std::optional<unsigned> boot[] = {options.bootindex_a, options.bootindex_b};
  for (unsigned unit = 0; unit < I82078::kDrives; ++unit) {
    if (boot[unit])
      TRY(site.add_boot_path(*boot[unit], fmt::format("/pci@i0cf8/isa@1/fdc@03f0/floppy@{}", unit)));
  }
  return {};
}

Result<> add_floppy(DeviceSite& site, const DeviceRequest& request) {
  FloppyOptions options;
  TRY(floppy_group().apply(request.values, options));
  I82078* bus = TRY(site.tree().find_bus<I82078>(options.bus));
  const unsigned unit = options.unit.value_or(bus->at(0) != nullptr ? 1u : 0u);
  if (bus->at(unit) != nullptr) return failf(ErrorKind::Busy, "Floppy unit {} is in use", unit);
  DrivePlace place;
  place.drive = options.drive;
  block::Drive& drive = *TRY(find_or_make_drive(site, request, place));
  auto floppy = TRY(FloppyDrive::create(drive, options.type));
  site.set_floppy_type(unit, static_cast<uint8_t>(floppy->type()));
  FloppyDrive& made = site.tree().own(request, std::move(floppy), site.tree().name_of(*bus));
  bus->plug(made, unit);
  return {};
}

}  // namespace

std::span<const DeviceDriver> floppy_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"isa-fdc", "ISA", "Storage", "82078 floppy disk controller", [] { return fdc_group().help(); },
       add_controller},
      {"floppy", "floppy-bus", "Storage", "virtual floppy drive", [] { return floppy_group().help(); },
       add_floppy},
  };
  return kDrivers;
}

}  // namespace rhea::machine
