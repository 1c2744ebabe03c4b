#include "machine/plug/device_site.h"

namespace rhea::machine {

Result<> DeviceSite::map_ports(uint32_t base, uint32_t size, memory::IoHandler& handler, uint64_t offset) {
  if (size > 0x10000 || base > 0x10000 - size)
    return failf(ErrorKind::Invalid, "ports {:#x} to {:#x} do not exist", base, base + size - 1);
  TRY(ports().map_io(Gpa{base}, size, handler, offset));
  return {};
}

Result<> DeviceSite::add_boot_path(unsigned index, std::string path) {
  auto [at, added] = boot_paths_.emplace(index, std::move(path));
  if (!added) return failf(ErrorKind::Invalid, "The bootindex {} has already been used", index);
  return {};
}

}  // namespace rhea::machine
