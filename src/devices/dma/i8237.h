// The two 8237A DMA controllers of a PC with their page registers: channels 0..3 move bytes, 5..7 move words,
// 4 is the cascade. Handler offsets: 0..15 the first controller (ports 0x00..0x0F), 16..47 the second
// (0xC0..0xDF), 48..63 the page registers (0x80..0x8F; the board may keep 0x80 for POST codes).
//
// Intel 231466-005 (8237A-5): registers, commands, modes; IBM PC AT Technical Reference: page registers.
// Missing: memory-to-memory transfers, priority and timing modes, which nothing can observe here. Machine
// lock held.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "bus/device.h"
#include "memory/address_space.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class I8237Pair final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    memory::AddressSpace& memory;
  };
  explicit I8237Pair(const Wiring& wiring) : wiring_(wiring) { reset(bus::ResetKind::Cold); }

  static constexpr uint64_t kFirst = 0, kSecond = 16, kPages = 48, kIoSize = 64;

  std::string_view name() const override { return "i8237"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  // For devices: move what the channel allows and return the number of bytes; 0 while it is masked. A channel
  // in verify mode counts without moving.
  size_t from_memory(unsigned channel, std::span<uint8_t> to) { return transfer(channel, to.size(), to, {}); }
  size_t to_memory(unsigned channel, std::span<const uint8_t> from) {
    return transfer(channel, from.size(), {}, from);
  }
  // Whether the channel's terminal count has been reached since its status was read.
  bool terminal_count(unsigned channel) const;
  void request(unsigned channel, bool level);

 private:
  struct Channel {
    uint16_t base_address = 0, base_count = 0, address = 0, count = 0;
    uint8_t mode = 0;
  };
  struct Controller {
    std::array<Channel, 4> channels{};
    uint8_t command = 0, status = 0, requests = 0, mask = 0x0f, temporary = 0;
    bool high_byte = false;
    void clear();
    uint8_t read(unsigned reg);
    void write(unsigned reg, uint8_t value);
    void visit(bus::StateVisitor& v, std::string_view name);
  };

  size_t transfer(unsigned channel, size_t bytes, std::span<uint8_t> to, std::span<const uint8_t> from);

  Wiring wiring_;
  std::array<Controller, 2> controllers_;
  std::array<uint8_t, 16> pages_{};
};

}  // namespace rhea::devices
