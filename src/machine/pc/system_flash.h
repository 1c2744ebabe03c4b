// The board's flash chips, with firmware in the first and its variables in the second: where they are, what
// of them is on the drives `pflash0` and `pflash1`, and who may change them.
//
// The first chip ends at 4 GiB, the second below it. With `secure`, the chips show their array to everybody
// but take commands only from code in system-management mode. A change is written to the drive at once, or as
// soon as the write before has been done, and flushed when there is nothing more to write.
//
// Machine lock held.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "devices/storage/pflash.h"
#include "machine/plug/backends.h"
#include "memory/address_space.h"

namespace rhea::machine {

class SystemFlash {
 public:
  struct Options {
    std::array<std::string, 2> drives = {"pflash0", "pflash1"};
    bool secure = false;
  };
  struct Views {
    memory::AddressSpace& memory;
    memory::AddressSpace& smm;
  };

  // Null: there is no drive for the first chip. Errors: Invalid (sizes), Io.
  static Result<std::unique_ptr<SystemFlash>> create(const Backends& backends, const Options& options,
                                                     const Views& views);
  ~SystemFlash();

  // The last bytes of the first chip, which is what is below 1 MiB, too.
  memory::RamBlock& code() { return *units_.front()->array; }
  uint64_t code_size() const { return units_.front()->chip->size(); }
  std::vector<bus::Device*> devices();
  // Something is not on its drive yet.
  bool busy() const;

 private:
  struct Unit final : block::DriveFrontend {
    block::Drive* drive = nullptr;
    std::unique_ptr<memory::RamBlock> array;
    std::unique_ptr<devices::Pflash> chip;
    struct Place {
      memory::AddressSpace* view;
      memory::MapId array, commands;
    };
    std::vector<Place> places;  // that follow the chip's mode
    std::vector<bool> dirty;    // by block
    bool writing = false, flushing = false, failed = false;

    void show_array(bool on);
    void changed(uint64_t offset, uint64_t bytes);
    void store_next();
    std::optional<size_t> take_dirty();
  };

  explicit SystemFlash(const Views& views) : views_(views) {}
  Result<> add_unit(block::Drive& drive, uint64_t end, bool secure);
  Result<> map(Unit& unit, uint64_t at, bool secure);

  Views views_;
  std::vector<std::unique_ptr<Unit>> units_;
};

}  // namespace rhea::machine
