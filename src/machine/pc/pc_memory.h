// The board's physical memory map: RAM around the hole, the BIOS at the top of 4 GiB and below 1 MiB, the PAM
// regions that switch between ROM and RAM, SMRAM, and the second view of it all that SMM code has.
//
// Intel 290549-001 (82441FX): 3.2.17 PAM, 3.2.24 SMRAM, 4.1 address decoding. Missing: D_CLS (data accesses
// of SMM code to the bus). Machine lock held for changes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "devices/bridge/i440fx.h"
#include "machine/pc/ram_layout.h"
#include "memory/address_space.h"

namespace rhea::machine {

class PcMemory final : public devices::HostBridgeListener {
 public:
  struct Options {
    RamLayout layout;
    bool mergeable = true;  // the host may share equal pages between machines
    bool dumpable = true;   // guest memory is part of core dumps
    // As large as the layout, its properties settled by whoever made it; null: anonymous memory is made.
    std::shared_ptr<memory::RamBlock> ram = nullptr;
  };
  // An empty bios: map_firmware() follows. Errors: NoSpace when the host cannot give so much memory.
  static Result<std::unique_ptr<PcMemory>> create(const Options& options, const std::vector<uint8_t>& bios,
                                                  std::recursive_mutex& lock);
  // The end of a firmware image that lies elsewhere, below 1 MiB. It outlives this.
  Result<> map_firmware(memory::RamBlock& image, uint64_t size);

  memory::AddressSpace& memory() { return memory_; }
  memory::AddressSpace& smm_memory() { return smm_memory_; }
  memory::RamBlock& ram() { return *ram_; }
  const RamLayout& layout() const { return layout_; }

  // Copies what is read-only below 1 MiB to the RAM under it.
  void shadow_firmware();
  // The ROM as it was delivered, after a reset.
  void restore_bios();

  void pam_changed(uint32_t start, uint32_t size, bool read_ram, bool write_ram) override;
  void smram_changed(bool enabled, bool open, bool closed) override;
  void tseg_changed(uint64_t size) override;

 private:
  // Reads come from the ROM or the bus, writes go to RAM.
  class WriteOnlyRam final : public memory::IoHandler {
   public:
    WriteOnlyRam(PcMemory& owner, uint32_t start) : owner_(owner), start_(start) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 8}; }

   private:
    PcMemory& owner_;
    uint32_t start_;
  };

  // What SMM code sees where its view has no RAM of its own: the ordinary view's devices.
  class Forward final : public memory::IoHandler {
   public:
    explicit Forward(memory::AddressSpace& to) : to_(to) {}
    uint64_t io_read(uint64_t offset, unsigned size) override { return to_.load(offset, size); }
    void io_write(uint64_t offset, unsigned size, uint64_t value) override { to_.store(offset, size, value); }
    memory::IoTraits io_traits() const override {
      return {.min = 1, .max = 8, .locking = memory::Locking::None};
    }

   private:
    memory::AddressSpace& to_;
  };

  // What others see of TSEG.
  class Nothing final : public memory::IoHandler {
   public:
    uint64_t io_read(uint64_t, unsigned) override { return ~uint64_t{0}; }
    void io_write(uint64_t, unsigned, uint64_t) override {}
    memory::IoTraits io_traits() const override {
      return {.min = 1, .max = 8, .locking = memory::Locking::None};
    }
  };

  struct PamRegion {
    uint32_t start, size;
    memory::MapId ram[2];  // in memory_ and smm_memory_
    memory::MapId write_only[2];
    std::unique_ptr<WriteOnlyRam> handler;
  };

  PcMemory(const RamLayout& layout, std::recursive_mutex& lock);
  Result<> map_ram();
  Result<> map_bios(const std::vector<uint8_t>& bios);
  Result<> map_pam_region(uint32_t start, uint32_t size);
  std::array<memory::AddressSpace*, 2> views() { return {&memory_, &smm_memory_}; }

  RamLayout layout_;
  memory::AddressSpace memory_;
  memory::AddressSpace smm_memory_;
  std::shared_ptr<memory::RamBlock> ram_;
  std::unique_ptr<memory::RamBlock> bios_;
  std::vector<uint8_t> bios_image_;
  memory::RamBlock* firmware_ = nullptr;  // what is below 1 MiB: its last bytes
  uint64_t firmware_size_ = 0;
  Forward forward_{memory_};
  std::vector<PamRegion> pam_;
  memory::MapId smram_open_{};  // in memory_
  memory::MapId smram_{};       // in smm_memory_
  Nothing nothing_;
  std::optional<memory::MapId> tseg_;  // in memory_
  uint64_t tseg_size_ = 0;
};

}  // namespace rhea::machine
