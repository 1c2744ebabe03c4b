// Interrupt messages between I/O APICs, MSI senders and local APICs (Intel SDM volume 3, chapter 11; 11.11
// for the message-signalled form), and the few wires that a local APIC shares with the rest of the board.
//
// Threading: any thread; the receivers synchronise for themselves.
#pragma once

#include <cstdint>

namespace rhea::bus {

enum class DeliveryMode : uint8_t {
  Fixed = 0,
  LowestPriority = 1,
  Smi = 2,
  Reserved = 3,
  Nmi = 4,
  Init = 5,
  Startup = 6,
  ExtInt = 7,
};

struct ApicMessage {
  uint32_t destination;  // physical APIC id or logical mask
  bool logical;
  DeliveryMode mode;
  uint8_t vector;
  bool level_triggered;
};

class ApicBus {
 public:
  virtual ~ApicBus() = default;
  virtual void deliver(const ApicMessage& message) = 0;
};

// Told by local APICs of the end of a level-triggered interrupt (the EOI broadcast). I/O APICs listen.
class EoiListener {
 public:
  virtual ~EoiListener() = default;
  virtual void end_of_interrupt(uint8_t vector) = 0;
};

// What answers the INTA cycle of an ExtINT: the 8259 pair. Machine lock held.
class ExtIntSource {
 public:
  virtual ~ExtIntSource() = default;
  virtual bool extint_pending() const = 0;
  virtual uint8_t acknowledge_extint() = 0;  // its vector, now in service (or the spurious one)
};

inline constexpr uint64_t kMsiBase = 0xfee00000;
inline constexpr uint64_t kMsiSize = 0x00100000;

// SDM 3A 11.11.1 and 11.11.2. Address bits 63..32 hold destination bits 31..8 when x2APIC ids are in use.
constexpr ApicMessage decode_msi(uint64_t address, uint32_t data) {
  return {.destination = static_cast<uint32_t>((address >> 12) & 0xff) |
                         (static_cast<uint32_t>(address >> 32) & 0xffffff00u),
          .logical = (address & 4) != 0,
          .mode = static_cast<DeliveryMode>((data >> 8) & 7),
          .vector = static_cast<uint8_t>(data & 0xff),
          .level_triggered = (data & 0x8000) != 0};
}

}  // namespace rhea::bus
