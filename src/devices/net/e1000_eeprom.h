// The 64-word EEPROM of an 82540EM, with its Microwire wires (EECD) and as a memory of words (EERD).
//
// Intel 317453, 5.2 (contents) and 13.4.3; the serial protocol is that of the 93C46: a start bit, two bits of
// opcode, six of address, sixteen of data. Missing: erase. Machine lock held.
#pragma once

#include <array>
#include <cstdint>

#include "bus/device.h"
#include "net/mac.h"

namespace rhea::devices::e1000 {

class Eeprom {
 public:
  static constexpr unsigned kWords = 64;

  explicit Eeprom(const net::Mac& mac, uint16_t device_id);

  uint16_t word(unsigned index) const { return words_[index % kWords]; }
  net::Mac mac() const;
  // The register EECD.
  uint32_t read_wires() const;
  void write_wires(uint32_t value);

  void reset();
  void state(bus::StateVisitor& v);

 private:
  enum class Phase : uint8_t { Idle, Command, Read, Write };
  void clock_in(bool bit);
  void command_complete();

  std::array<uint16_t, kWords> words_{};
  uint32_t wires_ = 0;
  Phase phase_ = Phase::Idle;
  uint16_t shift_ = 0;
  uint8_t bits_ = 0;
  uint8_t address_ = 0;
  bool out_ = true;
  bool write_enabled_ = false;
};

}  // namespace rhea::devices::e1000
