// Fuzzes a virtqueue: the input is the ring's memory, and then what the driver writes into it between what
// the device does.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "devices/virtio/virtqueue.h"

namespace rhea::devices::virtio {
namespace {

constexpr uint64_t kRamBytes = 0x8000;

struct World {
  World() {
    CHECK(space.map_ram(Gpa{0}, *block, 0, kRamBytes).has_value());
    ram.attach(&space);
  }
  std::recursive_mutex lock;
  memory::AddressSpace space{"memory", lock};
  std::unique_ptr<memory::RamBlock> block = *memory::RamBlock::create("ram", kRamBytes);
  GuestRam ram;
};

void run(std::span<const uint8_t> data) {
  static World world;
  if (data.size() < 8) return;
  unsigned broken = 0;
  Virtqueue queue({.ram = world.ram, .broken = [&broken](std::string_view) { ++broken; }, .interrupt = [] {}},
                  64);
  const bool packed = (data[0] & 1) != 0;
  static_cast<void>(
      queue.set_size(static_cast<uint16_t>(packed ? 1 + data[1] % 64 : 1 << data[1] % 7), packed));
  queue.set_addresses(
      {.desc = uint64_t{data[2]} * 16, .driver = 0x1000u + data[3], .device = 0x2000u + data[4]});
  queue.enable({.packed = packed,
                .event_index = (data[0] & 2) != 0,
                .indirect = (data[0] & 4) != 0,
                .notify_on_empty = (data[0] & 8) != 0});
  std::memset(world.block->host(), 0, kRamBytes);
  data = data.subspan(8);
  const size_t first = std::min<size_t>(data.size(), 0x1800);
  std::memcpy(world.block->host(), data.data(), first);
  std::vector<Chain> taken;
  for (size_t i = 0; i + 4 <= data.size() && broken == 0; i += 4) {
    const uint8_t* step = data.data() + i;
    world.block->host()[(step[1] | step[2] << 8) % kRamBytes] = step[3];
    if (step[0] % 4 != 0 || taken.empty()) {
      if (auto chain = queue.pop()) {
        CHECK(chain->out.size() + chain->in.size() <= kMaxSegments);
        taken.push_back(std::move(*chain));
      }
    } else if (step[0] % 8 == 0) {
      uint8_t bytes[64] = {};
      static_cast<void>(copy_from(world.ram, taken.back().out, step[1], bytes));
      static_cast<void>(copy_to(world.ram, taken.back().in, step[1], bytes));
      queue.push(taken.back(), step[2]);
      taken.pop_back();
    } else {
      queue.unpop(taken.back());
      taken.pop_back();
    }
    if (step[0] >= 0x80) static_cast<void>(queue.enable_kicks());
  }
  CHECK(broken <= 1);
}

}  // namespace
}  // namespace rhea::devices::virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rhea::devices::virtio::run({data, size});
  return 0;
}
