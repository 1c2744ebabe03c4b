// Intel 82540EM gigabit Ethernet controller ("e1000"): one transmit and one receive ring, legacy and extended
// descriptors, checksum and TCP segmentation offloads, VLAN tags, address filters, interrupt throttling.
//
// Intel 317453 (8254x software developer's manual). Missing: flow control and wake-up packets, half duplex,
// management. The FCS that a driver sees behind a frame is zeros. The interrupt delays TIDV, TADV, RDTR and
// RADV are 0, throttling (ITR) works. Statistics: frames and bytes, no error counters but MPC.
// Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/clock.h"
#include "bus/pci/pci_function.h"
#include "devices/net/e1000_eeprom.h"
#include "devices/net/e1000_phy.h"
#include "devices/net/e1000_regs.h"
#include "memory/io_handler.h"
#include "net/endpoint.h"
#include "net/mac.h"

namespace rhea::devices {

class E1000 : public bus::pci::PciFunction, public memory::IoHandler {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    net::Mac mac{};
    std::unique_ptr<memory::RamBlock> rom = nullptr;  // for the firmware; may be null
  };
  explicit E1000(Wiring wiring);
  ~E1000() override;

 protected:
  // What tells the members of the family apart.
  struct Model {
    const char* name;
    uint16_t device_id, phy_id;
    uint8_t revision;
    uint32_t registers_end;  // bytes of register space that are kept
    uint32_t interrupts;     // bits of ICR
    uint32_t status;         // bits of STATUS that never change
    bool express;
  };
  E1000(Wiring wiring, const Model& model);

 public:
  static constexpr uint64_t kMemorySize = 0x20000, kPortsSize = 0x40;

  net::Endpoint& end() { return end_; }
  memory::IoHandler& ports() { return window_; }

  std::string_view name() const override { return model_.name; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 4}; }

 protected:
  // BAR 1: an address and a data register that lead to the others.
  class Window final : public memory::IoHandler {
   public:
    explicit Window(E1000& nic) : nic_(nic) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 4, .max = 4}; }
    uint32_t address = 0;

   private:
    E1000& nic_;
  };
  uint32_t& reg(uint32_t offset) { return registers_[offset / 4]; }
  uint32_t reg(uint32_t offset) const { return registers_[offset / 4]; }
  void cause(uint32_t bits);
  void update_interrupt();
  uint16_t eeprom_word(unsigned index) const { return eeprom_.word(index); }
  bool asserted() const { return asserted_; }

  // Where a newer member differs. Registers: true when that was all.
  virtual bool own_write(uint32_t, uint32_t) { return false; }
  virtual bool own_read(uint32_t, uint32_t&) { return false; }
  virtual void own_reset() {}
  virtual void drive_interrupt(bool level) { set_intx(level); }
  // New causes stand in ICR; true: they were announced by messages of their own.
  virtual bool announce(uint32_t) { return false; }
  // A receive descriptor of another format. False: the old one.
  struct Stored {
    uint16_t length;
    uint8_t status, errors;
    uint16_t tag;
  };
  virtual bool write_back(uint64_t, const Stored&) { return false; }
  Window& window() { return window_; }

 private:
  // The cable's end.
  class End final : public net::Endpoint {
   public:
    explicit End(E1000& nic) : net::Endpoint("e1000"), nic_(nic) {}
    bool can_receive() override { return nic_.can_receive(); }
    void receive(net::Frame frame, const net::Offload& offload) override { nic_.receive(frame, offload); }
    void carrier_changed() override { nic_.update_link(); }
    std::string info() const override;

   private:
    E1000& nic_;
  };
  struct Context {  // a context descriptor, 3.3.6
    uint32_t ip = 0, transport = 0, lengths = 0, sizes = 0;
    uint8_t ip_start() const { return static_cast<uint8_t>(ip); }
    uint8_t ip_offset() const { return static_cast<uint8_t>(ip >> 8); }
    uint16_t ip_end() const { return static_cast<uint16_t>(ip >> 16); }
    uint8_t transport_start() const { return static_cast<uint8_t>(transport); }
    uint8_t transport_offset() const { return static_cast<uint8_t>(transport >> 8); }
    uint16_t transport_end() const { return static_cast<uint16_t>(transport >> 16); }
    uint8_t command() const { return static_cast<uint8_t>(lengths >> 24); }
    uint16_t segment_size() const { return static_cast<uint16_t>(sizes >> 16); }
  };

  // e1000.cc
  void write_control(uint32_t value);
  void write_mdic(uint32_t value);
  void write_ring(uint32_t offset, uint32_t value);
  bool write_plain(uint32_t offset, uint32_t value);
  void soft_reset();
  void load_mac();
  void update_link();
  void count(uint32_t statistic, uint32_t by = 1);
  void count_bytes(uint32_t low, uint32_t bytes);

  // e1000_transmit.cc
  void transmit();
  bool transmit_descriptor();
  void take_context(const uint8_t* descriptor);
  void take_data(uint64_t address, size_t length);
  void finish_frame();
  void finish_segmented(size_t size);
  bool insert_checksum(size_t size, size_t start, size_t offset, size_t end);
  size_t insert_tag(size_t size);
  void send_frame(net::Frame frame, const net::Offload& offload);
  void count_sent(size_t size);

  // e1000_receive.cc
  bool can_receive();
  void receive(net::Frame frame, const net::Offload& offload);
  bool accepts(net::Frame frame);
  bool passes_filter(const uint8_t* destination);
  size_t buffer_size() const;
  unsigned free_descriptors() const;
  void store_frame(net::Frame frame, uint8_t status, uint8_t errors, uint16_t tag);
  void check_sums(net::Frame frame, const net::Offload& offload, uint8_t& status, uint8_t& errors);
  void count_received(net::Frame frame);

  Model model_;
  async::Clock& clock_;
  std::unique_ptr<memory::RamBlock> rom_;
  std::unique_ptr<async::Timer> throttle_;  // an interrupt that waits for its time
  std::unique_ptr<async::Timer> more_;      // transmission goes on
  std::vector<uint32_t> registers_;
  e1000::Eeprom eeprom_;
  e1000::Phy phy_;
  int64_t next_interrupt_ = 0;  // not before this time
  bool asserted_ = false;

  // The frame that the transmit ring is in the middle of.
  std::vector<uint8_t> frame_;
  uint32_t frame_size_ = 0;
  bool frame_too_long_ = false, frame_begun_ = false;
  bool segmented_ = false;
  uint8_t options_ = 0, insert_offset_ = 0, insert_start_ = 0;
  uint8_t first_command_ = 0;
  uint16_t tag_ = 0;
  Context context_, segment_context_;

  bool transmitting_ = false, receiving_ = false;
  std::vector<uint8_t> scratch_;
  Window window_{*this};
  End end_{*this};
};

}  // namespace rhea::devices
