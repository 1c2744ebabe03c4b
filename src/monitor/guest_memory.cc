#include "monitor/guest_memory.h"

#include <algorithm>

#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::monitor {

bool read_guest(machine::Vm& vm, unsigned cpu, bool is_virtual, uint64_t address, std::span<uint8_t> to) {
  cpu::Core& core = vm.core(cpu);
  size_t done = 0;
  while (done < to.size()) {
    uint64_t at = address + done, physical = at;
    size_t n = std::min<size_t>(to.size() - done, kPageSize - (at & kPageMask));
    if (is_virtual && !cpu::debug_translate(core, at, physical)) return false;
    if (!core.memory->read(physical, to.subspan(done, n))) return false;
    done += n;
  }
  return true;
}

}  // namespace rhea::monitor
