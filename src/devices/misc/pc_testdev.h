// The ISA device that guest test suites (kvm-unit-tests) drive a board's interrupts and the emulator's memory
// paths with: scratch ports, a scratch memory window, a port that asks for a page to be mapped anew, and one
// port per interrupt line.
//
// The interface is what the public kvm-unit-tests programs use: ports 0xE0..0xE3 hold what is written, a
// dword to 0xE4 names a page, a byte to 0x2000 + n drives interrupt n, 0xFF000000..0xFF00FFFF is memory
// without RAM behind. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "bus/device.h"
#include "bus/irq.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class PcTestDevice final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    bus::IrqSink* gsi = nullptr;                  // 24 lines
    std::function<void(uint64_t address)> flush;  // drop what is derived from this page of guest memory
  };
  explicit PcTestDevice(Wiring wiring);

  // Handler offsets of its four regions, to be mapped at ports 0xE0, 0xE4, 0x2000 and memory 0xFF000000.
  static constexpr uint64_t kScratch = 0, kFlush = 4, kLines = 8, kMemory = 0x1000;
  static constexpr uint64_t kScratchSize = 4, kFlushSize = 4, kLinesSize = 24, kMemorySize = 0x10000;

  std::string_view name() const override { return "pc-testdev"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 8}; }

 private:
  Wiring wiring_;
  std::array<uint8_t, kScratchSize> scratch_{};
  std::vector<uint8_t> memory_;
};

}  // namespace rhea::devices
