// The High Definition Audio controller of the ICH6 and ICH9: command rings, immediate commands, four input
// and four output streams.
//
// Intel, High Definition Audio Specification 1.0a: 3.3 registers, 3.6 buffers, 4.4 command rings, 4.5
// streams. Missing: bidirectional streams, stripes, FIFO errors, wake from the link, power states.
// Streams run in virtual time. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "bus/pci/msi.h"
#include "bus/pci/pci_function.h"
#include "devices/audio/hda_bus.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class IntelHda final : public bus::pci::PciFunction, public memory::IoHandler {
 public:
  enum class Model : uint8_t { Ich6, Ich9 };
  struct Wiring {
    async::Clock& clock;  // virtual
    Model model = Model::Ich6;
    bool msi = true;
  };
  explicit IntelHda(const Wiring& wiring);

  std::string_view name() const override { return "intel-hda"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }
  HdaBus& hda_bus() { return bus_; }

 private:
  static constexpr unsigned kInputs = 4, kStreams = 8;
  struct Stream {
    uint32_t control = 0;  // SDnCTL, 24 bits
    uint8_t status = 0;
    uint32_t position = 0;  // SDnLPIB
    uint32_t length = 0;    // SDnCBL
    uint16_t last = 0;      // SDnLVI
    HdaFormat format;
    uint32_t list_low = 0, list_high = 0;
    // Within the buffer descriptor list.
    uint16_t entry = 0;
    uint32_t entry_done = 0;
    int64_t since_ns = 0;  // when it began to run, or its format was set
    uint64_t moved = 0;    // bytes since then
    bool running() const;
  };
  struct Descriptor {
    uint64_t address;
    uint32_t length;
    bool interrupt;
  };
  // A ring of commands or responses.
  struct Rings {
    uint32_t corb_low = 0, corb_high = 0, rirb_low = 0, rirb_high = 0;
    uint16_t corb_write = 0, corb_read = 0, rirb_write = 0, rirb_count = 0;
    uint8_t corb_control = 0, corb_status = 0, corb_size = 2, rirb_control = 0, rirb_status = 0,
            rirb_size = 2;
    uint16_t responses = 0;  // since the last interrupt
  };

  uint32_t read_dword(unsigned offset);
  void write_dword(unsigned offset, uint32_t value, uint32_t mask);
  uint32_t read_stream(const Stream& stream, unsigned offset) const;
  void write_stream(unsigned index, unsigned offset, uint32_t value, uint32_t mask);
  void write_rings(unsigned offset, uint32_t value, uint32_t mask);
  void write_control(uint32_t value);
  void set_stream_control(unsigned index, uint32_t value);
  void link_reset();
  uint32_t send_verb(uint32_t verb);
  void run_corb();
  void respond(uint32_t response, uint32_t extended);
  void run_streams();
  void run_stream(unsigned index, int64_t now);
  void move(unsigned index, uint32_t bytes);
  bool transfer(unsigned index, uint64_t address, uint32_t bytes);
  bool descriptor(const Stream& stream, Descriptor& out);
  void tell_codecs(unsigned index, bool running);
  void write_positions();
  void schedule();
  uint32_t interrupt_status() const;
  void drive();

  Wiring wiring_;
  HdaBus bus_;
  std::unique_ptr<bus::pci::Msi> msi_;
  std::unique_ptr<async::Timer> timer_;
  uint32_t global_control_ = 0;
  uint16_t wake_enable_ = 0, state_change_ = 0;
  uint32_t interrupt_control_ = 0;
  uint32_t position_low_ = 0, position_high_ = 0;  // DPLBASE, DPUBASE
  uint32_t immediate_ = 0, immediate_response_ = 0;
  uint16_t immediate_status_ = 0;
  int64_t wall_since_ns_ = 0;
  bool asserted_ = false;
  Rings rings_;
  std::array<Stream, kStreams> streams_;
};

}  // namespace rhea::devices
