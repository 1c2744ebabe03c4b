// Fuzzes every device through its entry of specimens.h: the input picks a device and then says, step by step,
// what a guest, the outside world, the clock and the loader of a state do to it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "devices/specimens.h"

namespace rhea::devices::testing {
namespace {

class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  uint64_t take(unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count && !bytes_.empty(); ++i) {
      value |= uint64_t{bytes_[0]} << (8 * i);
      bytes_ = bytes_.subspan(1);
    }
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

void access(const Region& region, Input& input) {
  const memory::IoTraits traits = region.handler->io_traits();
  const uint64_t what = input.take(1);
  unsigned size = traits.min;
  for (uint64_t grow = what & 3; grow != 0 && size < traits.max; --grow) size *= 2;
  if (size > region.size) return;
  const uint64_t offset = input.take((what & 4) != 0 ? 4 : 1) % (region.size - size + 1);
  if ((what & 8) != 0)
    static_cast<void>(region.handler->io_read(offset, size));
  else
    region.handler->io_write(offset, size, input.take(size));
}

void configure(PciFunction& function, Input& input) {
  const uint64_t what = input.take(1);
  const unsigned size = 1u << what % 3;
  const unsigned offset = static_cast<unsigned>(input.take(1)) & ~(size - 1);
  if ((what & 8) != 0)
    static_cast<void>(function.config_read(offset, size));
  else
    function.config_write(offset, size, static_cast<uint32_t>(input.take(size)));
}

void load_state(Specimen& specimen, Input& input) {
  Saver shape;
  specimen.device->state(shape);
  std::mt19937_64 noise(input.take(4));
  Loader loader(shape, &noise);
  specimen.device->state(loader);
}

void step(World& world, Specimen& specimen, Input& input) {
  const uint64_t what = input.take(1);
  switch (what % 8) {
    case 0: world.clock.advance(static_cast<int64_t>(input.take(3))); break;
    case 1: specimen.device->reset(bus::ResetKind::Warm); break;
    case 2: load_state(specimen, input); break;
    case 3:
      if (specimen.poke) specimen.poke(input.take(4));
      break;
    case 4:
      if (specimen.function != nullptr) configure(*specimen.function, input);
      break;
    default:
      if (!specimen.regions.empty()) access(specimen.regions[what / 8 % specimen.regions.size()], input);
      break;
  }
}

}  // namespace
}  // namespace rhea::devices::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rhea::devices::testing;
  static const std::vector<Entry> all = entries();
  Input input({data, size});
  World world;
  Specimen specimen = all[input.take(1) % all.size()].make(world);
  specimen.device->reset(rhea::bus::ResetKind::Cold);
  while (!input.empty()) step(world, specimen, input);
  return 0;
}
