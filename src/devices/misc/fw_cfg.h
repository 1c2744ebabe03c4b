// The firmware configuration device: numbered items and named files that the board leaves for its firmware,
// read through a selector and a data port or by DMA. Handler offsets: 0 selector (port 0x510), 1 data
// (0x511), 4..11 the DMA address (0x514).
//
// QEMU's docs/specs/fw_cfg.rst. Writes go through DMA only, to items that were declared writable, and never
// resize. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_bytes.h"
#include "bus/device.h"
#include "memory/address_space.h"
#include "memory/io_handler.h"

namespace rhea::devices {

struct FwCfgCallbacks {
  std::function<void()> selected{};  // before the guest reads it: may replace the data
  std::function<void(uint64_t offset, uint64_t size)> written{};
};

class FwCfg final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    memory::AddressSpace& memory;  // where DMA goes
  };
  using Callbacks = FwCfgCallbacks;
  explicit FwCfg(const Wiring& wiring);

  static constexpr uint64_t kIoSize = 12;
  static constexpr uint16_t kFirstFile = 0x20;

  // Key below 0x4000, or 0x8000..0xbfff for items of the architecture. An earlier item is replaced.
  void set_item(uint16_t key, std::vector<uint8_t> data);
  // The rest of a file from `begin` on, read when the guest does.
  void set_item(uint16_t key, std::shared_ptr<const FileBytes> file, uint64_t begin);
  // At most 55 characters. An earlier file of that name keeps its key and is replaced.
  void set_file(std::string_view file, std::vector<uint8_t> data, bool writable = false,
                Callbacks callbacks = {});
  // New contents of a file that exists, cut or padded to the size that the guest may know already. May be
  // called from that file's own callbacks.
  void change_file(std::string_view file_name, std::vector<uint8_t> data);
  const std::vector<uint8_t>* file(std::string_view file_name) const;

  std::string_view name() const override { return "fw_cfg"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  struct Item {
    std::vector<uint8_t> data;
    bool writable = false;
    Callbacks callbacks;
    std::shared_ptr<const FileBytes> file{};  // then `data` is empty
    uint64_t file_begin = 0;
    uint64_t size() const { return file ? file->size() - file_begin : data.size(); }
  };
  struct File {
    std::string name;
    uint16_t key;
  };

  void select(uint16_t key);
  Item* current();
  uint8_t next_byte();
  void run_dma(uint64_t at);
  bool transfer(uint32_t control, uint32_t length, uint64_t address);
  bool copy_out(uint32_t length, uint64_t address);
  bool copy_bytes(const Item& item, uint64_t length, uint64_t address);
  bool copy_in(uint32_t length, uint64_t address);
  void list_files();

  Wiring wiring_;
  std::map<uint16_t, Item> items_;
  std::vector<File> files_;
  uint64_t dma_address_ = 0;
  uint32_t offset_ = 0;
  uint16_t key_ = 0;
};

}  // namespace rhea::devices
