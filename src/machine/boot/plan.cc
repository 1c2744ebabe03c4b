// See plan.h.
#include "machine/boot/plan.h"

namespace rhea::machine::boot {
namespace {
constexpr uint64_t kFirmwareTables = 0x80000;  // twice what SeaBIOS takes at most
}

uint64_t load_limit(uint64_t low_ram_end) {
  return low_ram_end > kFirmwareTables ? low_ram_end - kFirmwareTables : 0;
}

Result<Plan> plan_kernel(Request request) {
  // A Linux image is recognised by its own header first: some carry others inside.
  bool linux_header = request.kernel.size() >= 0x206 && request.kernel[0x202] == 'H' &&
                      request.kernel[0x203] == 'd' && request.kernel[0x204] == 'r' &&
                      request.kernel[0x205] == 'S';
  if (linux_header) return plan_linux(request);
  for (auto plan : {plan_multiboot, plan_pvh, plan_linux}) {
    Result<Plan> result = plan(request);
    if (result || result.error().kind() != ErrorKind::NotFound) return result;
  }
  return fail(ErrorKind::Invalid, "this is neither a Linux, nor a Multiboot, nor a PVH kernel");
}

}  // namespace rhea::machine::boot
