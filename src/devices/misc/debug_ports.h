// Three ports for people: a console that takes bytes without any handshake, one that ends the emulator, and
// the POST code port.
//
// isa-debugcon and isa-debug-exit as QEMU's manual describes them (the former known from Bochs' port 0xE9).
// Port 0x80: IBM PC AT Technical Reference, manufacturing checkpoint. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "bus/device.h"
#include "chardev/chardev.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class DebugConsole final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    chardev::Chardev* output = nullptr;
    uint8_t readback = 0xe9;
  };
  explicit DebugConsole(const Wiring& wiring) : wiring_(wiring) {}

  std::string_view name() const override { return "isa-debugcon"; }
  void reset(bus::ResetKind) override {}
  void state(bus::StateVisitor&) override {}
  uint64_t io_read(uint64_t, unsigned) override { return wiring_.readback; }
  void io_write(uint64_t, unsigned, uint64_t value) override {
    const std::array<uint8_t, 1> byte = {static_cast<uint8_t>(value)};
    if (wiring_.output != nullptr) wiring_.output->write(byte);
  }
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 private:
  Wiring wiring_;
};

class DebugExit final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    std::function<void(int status)> exit;
  };
  explicit DebugExit(Wiring wiring) : wiring_(std::move(wiring)) {}

  std::string_view name() const override { return "isa-debug-exit"; }
  void reset(bus::ResetKind) override {}
  void state(bus::StateVisitor&) override {}
  uint64_t io_read(uint64_t, unsigned) override { return 0; }
  // The status is odd, so that it differs from a regular end.
  void io_write(uint64_t, unsigned, uint64_t value) override {
    if (wiring_.exit) wiring_.exit(static_cast<int>((value << 1 | 1) & 0xff));
  }

 private:
  Wiring wiring_;
};

class PostPort final : public bus::Device, public memory::IoHandler {
 public:
  std::string_view name() const override { return "post"; }
  void reset(bus::ResetKind) override { code_ = 0; }
  void state(bus::StateVisitor& v) override { v.field("code", code_); }
  uint64_t io_read(uint64_t, unsigned) override { return code_; }
  void io_write(uint64_t, unsigned, uint64_t value) override { code_ = static_cast<uint8_t>(value); }
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
  uint8_t code() const { return code_; }

 private:
  uint8_t code_ = 0;
};

}  // namespace rhea::devices
