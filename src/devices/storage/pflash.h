// A NOR flash chip with the Intel command set, as PC firmware has it for its code and its variables: 8 bits
// wide, uniform erase blocks, byte and buffered programming, erase, status, identifier and CFI query.
//
// Intel 297859-004 (Basic Command Set), JEDEC JESD68.01 (CFI); a cleared status register reads zero, which is
// how firmware for virtual machines tells flash from ROM and RAM. Missing: block locks (accepted, without
// effect), suspend. Operations take no time. Caller holds the machine lock.
//
// While the chip is in read-array mode its owner maps the array itself, with the chip as handler of writes;
// in the other modes the chip answers reads, too.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "bus/device.h"
#include "memory/io_handler.h"
#include "memory/ram_block.h"

namespace rhea::devices {

class Pflash final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    memory::RamBlock& array;                                         // its first `size` bytes
    uint64_t size;                                                   // a multiple of kBlock
    bool read_only = false;                                          // programming and erasing fail
    std::function<void(bool)> array_mode{};                          // reads show the array, or not
    std::function<void(uint64_t offset, uint64_t bytes)> changed{};  // of the array, by the guest
  };
  explicit Pflash(Wiring wiring) : wiring_(std::move(wiring)) {}

  static constexpr uint64_t kBlock = 4096;
  static constexpr unsigned kBuffer = 64;

  std::string_view name() const override { return "pflash"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  // Offsets into the array.
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 8}; }

  bool shows_array() const { return mode_ == Mode::Array; }
  uint64_t size() const { return wiring_.size; }

 private:
  enum class Mode : uint8_t { Array, Status, Identifier, Query };
  // What the next write is.
  enum class Step : uint8_t { Command, Program, Erase, Lock, BufferCount, BufferData, BufferConfirm };

  void enter(Mode mode);
  void command(uint8_t code);
  void second(uint64_t offset, unsigned size, uint64_t value);
  void program(uint64_t offset, unsigned size, uint64_t value);
  void buffer_data(uint64_t offset, unsigned size, uint64_t value);
  void buffer_confirm(uint8_t code);
  void erase(uint64_t offset, uint8_t code);
  void finish(uint8_t error);
  uint8_t query(uint64_t offset) const;

  Wiring wiring_;
  Mode mode_ = Mode::Array;
  Step step_ = Step::Command;
  uint8_t status_ = 0x80;
  uint8_t left_ = 0;  // bytes of a buffered write still to come
  uint8_t fill_ = 0;  // bytes in the buffer
  uint64_t buffer_at_ = 0;
  std::array<uint8_t, kBuffer> buffer_{};
};

}  // namespace rhea::devices
