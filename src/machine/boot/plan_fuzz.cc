// Any bytes as a -kernel file: they are laid out within RAM or refused with one line.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "machine/boot/plan.h"

namespace {

constexpr uint64_t kLowRamEnd = 0x1000000;

void check_placed(const rhea::machine::boot::Blob& blob) {
  CHECK(blob.data.empty() || blob.address + blob.data.size() <= kLowRamEnd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rhea::machine::boot::Request request;
  request.kernel.assign(data, data + size);
  request.command_line = "console=ttyS0 vga=ask";
  request.modules.push_back({{1, 2, 3}, "module"});
  request.low_ram_end = kLowRamEnd;
  const auto plan = rhea::machine::boot::plan_kernel(std::move(request));
  if (!plan) {
    CHECK(!plan.error().message().empty());
    return 0;
  }
  for (const auto* blob : {&plan->setup, &plan->command_line, &plan->kernel, &plan->initrd})
    check_placed(*blob);
  return 0;
}
