// For tests and fuzzers: a driver that starts the ports of an AHCI controller as it should and then issues
// what looks like commands but mostly is none.
#pragma once

#include <cstdint>
#include <random>

#include "base/endian.h"
#include "bus/pci/pci_regs.h"
#include "devices/ata/ahci.h"
#include "devices/ata/ata_regs.h"
#include "memory/ram_block.h"

namespace rhea::devices::testing {

class AhciNoise {
 public:
  // ram is mapped from address 0 and has 512 KiB at least.
  AhciNoise(Ahci& ahci, memory::RamBlock& ram) : ahci_(ahci), ram_(ram) {}

  void run(uint64_t seed) {
    using namespace ahci;
    random_.seed(seed);
    ahci_.config_write(bus::pci::kCommand, 2, 6);
    const unsigned number = static_cast<unsigned>(random_() % 3);
    if (seed % 4 == 0) {
      put(number, kPortCommand, 0);
      put(number, kListBase, kList);
      put(number, kListBaseUpper, 0);
      put(number, kFisBase, kFis);
      put(number, kFisBaseUpper, 0);
      put(number, kPortInterruptEnable, ~0u);
      put(number, kPortCommand, kFisEnable | kStart);
    }
    for (unsigned slot = 0; slot < 4; ++slot) fill(slot);
    const uint32_t slots = static_cast<uint32_t>(random_() % 16);
    put(number, kSataActive, slots & static_cast<uint32_t>(random_()));
    put(number, kCommandIssue, slots);
  }

 private:
  static constexpr uint32_t kList = 0x10000, kFis = 0x11000, kTables = 0x20000, kData = 0x40000;

  void put(unsigned port, unsigned reg, uint32_t value) {
    ahci_.io_write(ahci::kFirstPort + port * ahci::kPortBytes + reg, 4, value);
  }

  void fill(unsigned slot) {
    using namespace ahci;
    static constexpr uint8_t kCommands[] = {ata::kReadFpdma,
                                            ata::kWriteFpdma,
                                            ata::kReadDmaExt,
                                            ata::kWriteDmaExt,
                                            ata::kReadSectors,
                                            ata::kWriteSectors,
                                            ata::kIdentify,
                                            ata::kPacket,
                                            ata::kFlush,
                                            ata::kSetFeatures,
                                            ata::kIdentifyPacket,
                                            ata::kReadMultiple,
                                            ata::kSmart,
                                            0x2f,
                                            ata::kDataSetManagement,
                                            ata::kDeviceReset,
                                            ata::kReadVerifyExt};
    uint8_t* table = ram_.host() + kTables + 0x800 * slot;
    for (unsigned i = 0; i < 0x40; ++i) store_le<uint64_t>(table + 8 * i, random_() >> random_() % 64);
    table[0] = random_() % 16 == 0 ? static_cast<uint8_t>(random_()) : kFisH2d;
    table[1] = random_() % 8 == 0 ? uint8_t{0} : kFisIsCommand;
    table[2] =
        random_() % 8 == 0 ? static_cast<uint8_t>(random_()) : kCommands[random_() % std::size(kCommands)];
    if (random_() % 4 != 0) {
      table[3] = static_cast<uint8_t>(random_() % 4);
      table[6] = table[8] = table[9] = table[10] = table[11] = 0;
      table[12] = static_cast<uint8_t>(slot << 3);
    }
    const unsigned regions = static_cast<unsigned>(random_() % 8);
    for (unsigned i = 0; i < regions; ++i) {
      const bool wild = random_() % 32 == 0;
      store_le<uint64_t>(table + kTablePrdt + kPrdBytes * i, wild ? random_() : kData + random_() % 0x10000);
      store_le<uint32_t>(table + kTablePrdt + kPrdBytes * i + 12, static_cast<uint32_t>(random_() % 0x2000));
    }
    uint8_t* header = ram_.host() + kList + kHeaderBytes * slot;
    store_le<uint32_t>(header, (random_() % 16 == 0 ? static_cast<uint32_t>(random_()) : 5u) | regions << 16);
    store_le<uint64_t>(header + 8, random_() % 64 == 0 ? random_() : kTables + uint64_t{0x800} * slot);
  }

  Ahci& ahci_;
  memory::RamBlock& ram_;
  std::mt19937_64 random_;
};

}  // namespace rhea::devices::testing
