#include "devices/display/vga_pci.h"

#include <bit>
#include <cstring>

namespace rhea::devices {

namespace {

constexpr bus::pci::Identity kIdentity{
    .vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000};
constexpr size_t kLargestRom = size_t{16} << 20, kSmallestRom = 2048;

}  // namespace

Result<std::unique_ptr<memory::RamBlock>> make_rom(std::span<const uint8_t> contents) {
  if (contents.empty()) return std::unique_ptr<memory::RamBlock>();
  if (contents.size() > kLargestRom) return fail(ErrorKind::Invalid, "the ROM is larger than 16 MiB");
  auto rom = TRY(memory::RamBlock::create("vga.rom", std::bit_ceil(std::max(contents.size(), kSmallestRom))));
  std::memcpy(rom->host(), contents.data(), contents.size());
  return rom;
}

Result<std::unique_ptr<VgaPci>> VgaPci::create(const VgaCore::Wiring& wiring, const VgaCore::Options& options,
                                               std::span<const uint8_t> rom) {
  auto block = TRY(make_rom(rom));
  auto core = TRY(VgaCore::create(wiring, options));
  return std::unique_ptr<VgaPci>(new VgaPci(std::move(core), std::move(block)));
}

VgaPci::VgaPci(std::unique_ptr<VgaCore> core, std::unique_ptr<memory::RamBlock> rom)
    : PciFunction(kIdentity), core_(std::move(core)), rom_(std::move(rom)) {
  add_ram_bar(0, bus::pci::BarKind::Prefetch32, core_->memory());
  add_bar(2, bus::pci::BarKind::Memory32, VgaCore::kMmioSize, core_->mmio());
  if (rom_ != nullptr) add_rom(*rom_);
}

void VgaPci::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  core_->reset();
}

void VgaPci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  core_->state(v);
}

}  // namespace rhea::devices
