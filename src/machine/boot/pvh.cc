// PVH kernels: an ELF file with the Xen note that names a 32-bit entry point. Xen's docs/misc/pvh.pandoc and
// include/public/arch-x86/hvm/start_info.h (structure version 1).
#include <fmt/format.h>

#include "machine/boot/elf.h"
#include "machine/boot/flat_setup.h"
#include "machine/boot/plan.h"

namespace rhea::machine::boot {
namespace {

constexpr uint32_t kPhys32Entry = 18;
constexpr uint32_t kStartMagic = 0x336ec578;
// hvm_start_info and hvm_modlist_entry.
constexpr size_t kStartSize = 56, kModuleSize = 32;
constexpr size_t kMagic = 0, kVersion = 4, kModules = 12, kModuleList = 16, kCommandLine = 24, kRsdp = 32,
                 kMemMap = 40, kMemMapEntries = 48;
constexpr uint64_t kPage = 4096;

}  // namespace

Result<Plan> plan_pvh(Request& request) {
  if (!is_elf(request.kernel)) return fail(ErrorKind::NotFound, "not an ELF file");
  ElfImage elf = TRY(read_elf(request.kernel));
  auto note = elf.note("Xen", kPhys32Entry);
  if (!note)
    return fail(ErrorKind::Invalid, "the ELF file has neither a Multiboot header nor a PVH entry point");
  if (note->size() != 4 && note->size() != 8) {
    return fail(ErrorKind::Invalid, fmt::format("the PVH entry note has {} bytes", note->size()));
  }
  uint64_t entry = 0;
  for (size_t i = 0; i < note->size(); i++) entry |= uint64_t{(*note)[i]} << (8 * i);
  if (request.modules.size() > 1) return fail(ErrorKind::Unsupported, "a PVH kernel takes one initrd");

  uint64_t limit = load_limit(request.low_ram_end);
  FlatImage flat = TRY(flatten(elf, limit));
  if (entry < flat.address || entry - flat.address >= flat.data.size()) {
    return fail(ErrorKind::Invalid, fmt::format("the PVH entry point {:#x} is outside the kernel", entry));
  }
  Plan plan;
  plan.rom = OptionRom::FlatBoot;
  plan.rom_name = "pvh.bin";
  plan.kernel = {flat.address, std::move(flat.data)};

  FlatSetup setup;
  size_t info = setup.reserve(kStartSize);
  setup.put32(info + kMagic, kStartMagic);
  setup.put32(info + kVersion, 1);
  setup.put64(info + kCommandLine, FlatSetup::address(setup.add_string(request.command_line)));
  size_t map = setup.reserve(FlatSetup::kRecordStride * FlatSetup::kMaxRecords);
  setup.put64(info + kMemMap, FlatSetup::address(map));
  setup.set_memory_map(map, info + kMemMapEntries, 1);
  setup.set_rsdp(info + kRsdp);
  setup.set_registers(0, FlatSetup::address(info), static_cast<uint32_t>(entry));
  if (!request.modules.empty()) {
    Module& initrd = request.modules[0];
    uint64_t kernel_end = plan.kernel.address + plan.kernel.data.size();
    if (initrd.size() > limit || ((limit - initrd.size()) & ~(kPage - 1)) < kernel_end) {
      return fail(ErrorKind::NoSpace,
                  fmt::format("the initrd of {} bytes does not fit above the kernel", initrd.size()));
    }
    plan.initrd.address = static_cast<uint32_t>((limit - initrd.size()) & ~(kPage - 1));
    plan.initrd.data = std::move(initrd.data);
    plan.initrd.file = std::move(initrd.file);
    size_t module = setup.reserve(kModuleSize);
    setup.put64(module, plan.initrd.address);
    setup.put64(module + 8, plan.initrd.size());
    setup.put32(info + kModules, 1);
    setup.put64(info + kModuleList, FlatSetup::address(module));
  }
  if (!setup.fits()) return fail(ErrorKind::Invalid, "the kernel command line is too long");
  plan.setup = {FlatSetup::kAddress, setup.take()};
  return plan;
}

}  // namespace rhea::machine::boot
