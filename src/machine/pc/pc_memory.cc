// See pc_memory.h.
#include "machine/pc/pc_memory.h"

#include <algorithm>
#include <cstring>

namespace rhea::machine {
namespace {

constexpr uint32_t kOneMiB = 0x100000, kLegacyEnd = 0xa0000, kSmramSize = 0x20000, kPamStart = 0xc0000,
                   kPamBios = 0xf0000, kPamUnit = 0x4000, kIsaBiosMax = 0x20000;
// Priorities: the ROM below PAM's RAM, SMRAM above the video memory that shares its addresses.
constexpr int kForwardPriority = -10, kRomPriority = 0, kPamPriority = 1, kSmramPriority = 2;
constexpr uint64_t kForwardSize = uint64_t{1} << 52;

}  // namespace

PcMemory::PcMemory(const RamLayout& layout, std::recursive_mutex& lock)
    : layout_(layout), memory_("memory", lock), smm_memory_("smm-memory", lock) {}

Result<std::unique_ptr<PcMemory>> PcMemory::create(const Options& options, const std::vector<uint8_t>& bios,
                                                   std::recursive_mutex& lock) {
  const uint64_t ram_bytes = options.layout.low + options.layout.high;
  if (ram_bytes < kOneMiB) return fail(ErrorKind::Invalid, "the machine needs at least 1 MiB of memory");
  std::unique_ptr<PcMemory> m(new PcMemory(options.layout, lock));
  m->ram_ = options.ram;
  if (!m->ram_) {
    m->ram_ = TRY(memory::RamBlock::create("pc.ram", ram_bytes));
    m->ram_->advise(options.mergeable, options.dumpable);
  }
  std::lock_guard guard(lock);
  for (memory::AddressSpace* view : m->views()) view->begin();
  TRY(m->map_ram());
  if (!bios.empty()) TRY(m->map_bios(bios));
  TRY(m->smm_memory_.map_io(Gpa{0}, kForwardSize, m->forward_, 0, kForwardPriority));
  for (memory::AddressSpace* view : m->views()) view->commit();
  return m;
}

Result<> PcMemory::map_ram() {
  for (memory::AddressSpace* view : views()) {
    TRY(view->map_ram(Gpa{0}, *ram_, 0, kLegacyEnd));
    if (layout_.low > kOneMiB) TRY(view->map_ram(Gpa{kOneMiB}, *ram_, kOneMiB, layout_.low - kOneMiB));
    if (layout_.high != 0) TRY(view->map_ram(Gpa{RamLayout::kFourGiB}, *ram_, layout_.low, layout_.high));
  }
  for (uint32_t start = kPamStart; start < kPamBios; start += kPamUnit) TRY(map_pam_region(start, kPamUnit));
  TRY(map_pam_region(kPamBios, kOneMiB - kPamBios));
  smram_open_ = TRY(memory_.map_ram(Gpa{kLegacyEnd}, *ram_, kLegacyEnd, kSmramSize,
                                    memory::RamAccess::ReadWrite, kSmramPriority));
  smram_ = TRY(smm_memory_.map_ram(Gpa{kLegacyEnd}, *ram_, kLegacyEnd, kSmramSize,
                                   memory::RamAccess::ReadWrite, kSmramPriority));
  memory_.set_enabled(smram_open_, false);
  smm_memory_.set_enabled(smram_, false);
  return {};
}

Result<> PcMemory::map_pam_region(uint32_t start, uint32_t size) {
  PamRegion region{start, size, {}, {}, std::make_unique<WriteOnlyRam>(*this, start)};
  for (size_t i = 0; i < 2; i++) {
    memory::AddressSpace& view = *views()[i];
    region.ram[i] =
        TRY(view.map_ram(Gpa{start}, *ram_, start, size, memory::RamAccess::ReadWrite, kPamPriority));
    region.write_only[i] = TRY(view.map_io(Gpa{start}, size, *region.handler, 0, kPamPriority));
    view.set_enabled(region.ram[i], false);
    view.set_enabled(region.write_only[i], false);
  }
  pam_.push_back(std::move(region));
  return {};
}

Result<> PcMemory::map_bios(const std::vector<uint8_t>& bios) {
  bios_image_ = bios;
  bios_ = TRY(memory::RamBlock::create("pc.bios", bios.size()));
  restore_bios();
  for (memory::AddressSpace* view : views()) {
    TRY(view->map_ram(Gpa{RamLayout::kFourGiB - bios.size()}, *bios_, 0, bios.size(),
                      memory::RamAccess::ReadOnly, kRomPriority));
  }
  return map_firmware(*bios_, bios.size());
}

Result<> PcMemory::map_firmware(memory::RamBlock& image, uint64_t size) {
  firmware_ = &image;
  firmware_size_ = size;
  uint64_t low = std::min<uint64_t>(size, kIsaBiosMax);
  for (memory::AddressSpace* view : views()) {
    TRY(view->map_ram(Gpa{kOneMiB - low}, image, size - low, low, memory::RamAccess::ReadOnly, kRomPriority));
  }
  return {};
}

void PcMemory::shadow_firmware() {
  uint64_t low = std::min<uint64_t>(firmware_size_, kIsaBiosMax);
  std::memcpy(ram_->host() + kOneMiB - low, firmware_->host() + firmware_size_ - low, low);
  ram_->note_written(kOneMiB - low, low);
}

void PcMemory::restore_bios() {
  if (!bios_) return;
  std::memcpy(bios_->host(), bios_image_.data(), bios_image_.size());
  bios_->note_written(0, bios_image_.size());
}

void PcMemory::pam_changed(uint32_t start, uint32_t size, bool read_ram, bool write_ram) {
  for (memory::AddressSpace* view : views()) view->begin();
  for (PamRegion& region : pam_) {
    if (region.start < start || region.start >= start + size) continue;
    for (size_t i = 0; i < 2; i++) {
      memory::AddressSpace& view = *views()[i];
      view.set_enabled(region.ram[i], read_ram);
      view.set_access(region.ram[i], write_ram ? memory::RamAccess::ReadWrite : memory::RamAccess::ReadOnly);
      view.set_enabled(region.write_only[i], write_ram && !read_ram);
    }
  }
  for (memory::AddressSpace* view : views()) view->commit();
}

void PcMemory::smram_changed(bool enabled, bool open, bool /*closed*/) {
  memory_.set_enabled(smram_open_, enabled && open);
  smm_memory_.set_enabled(smram_, enabled);
}

void PcMemory::tseg_changed(uint64_t size) {
  if (size > layout_.low - std::min<uint64_t>(kOneMiB, layout_.low)) size = 0;  // there is no such RAM
  if (size == tseg_size_) return;
  memory_.begin();
  if (tseg_) memory_.unmap(*tseg_);
  tseg_.reset();
  tseg_size_ = size;
  if (size != 0) {
    auto mapped = memory_.map_io(Gpa{layout_.low - size}, size, nothing_, 0, kSmramPriority);
    if (mapped) tseg_ = *mapped;
  }
  memory_.commit();
}

uint64_t PcMemory::WriteOnlyRam::io_read(uint64_t offset, unsigned size) {
  uint64_t value = ~uint64_t{0};
  uint64_t bios_size = owner_.firmware_size_, low = std::min<uint64_t>(bios_size, kIsaBiosMax);
  uint64_t address = start_ + offset;
  if (address >= kOneMiB - low && address + size <= kOneMiB) {
    std::memcpy(&value, owner_.firmware_->host() + bios_size - (kOneMiB - address), size);
  }
  return size == 8 ? value : value & ((uint64_t{1} << (8 * size)) - 1);
}

void PcMemory::WriteOnlyRam::io_write(uint64_t offset, unsigned size, uint64_t value) {
  std::memcpy(owner_.ram_->host() + start_ + offset, &value, size);
  owner_.ram_->note_written(start_ + offset, size);
}

}  // namespace rhea::machine
