// The gigabit PHY of an 82540EM (a Marvell 88E1011), as its management registers show it: a full duplex
// gigabit link that negotiates in no time.
//
// IEEE 802.3, 22.2.4 and 40.5.1; Intel 317453, 13.4.7 and 13.6 (PHY registers). Machine lock held.
#pragma once

#include <array>
#include <cstdint>

#include "bus/device.h"

namespace rhea::devices::e1000 {

class Phy {
 public:
  static constexpr unsigned kRegisters = 32;

  explicit Phy(uint16_t id) : id_(id) { reset(); }
  void set_link(bool up);
  bool link() const { return link_; }
  bool loopback() const { return (registers_[0] & 0x4000) != 0; }

  uint16_t read(unsigned index) const;
  // True: the link was negotiated anew.
  bool write(unsigned index, uint16_t value);

  void reset();
  void state(bus::StateVisitor& v);

 private:
  std::array<uint16_t, kRegisters> registers_{};
  uint16_t id_;  // the second word of its identifier
  bool link_ = false;
};

}  // namespace rhea::devices::e1000
