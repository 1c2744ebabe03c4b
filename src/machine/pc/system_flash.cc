#include "machine/pc/system_flash.h"

#include <algorithm>
#include <utility>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::machine {

namespace {
constexpr uint64_t kTop = uint64_t{1} << 32, kMost = uint64_t{8} << 20;
constexpr int kPriority = 0;
}  // namespace

Result<std::unique_ptr<SystemFlash>> SystemFlash::create(const Backends& backends, const Options& options,
                                                         const Views& views) {
  std::unique_ptr<SystemFlash> flash(new SystemFlash(views));
  uint64_t end = kTop;
  if (!backends.drive) return nullptr;
  for (const std::string& id : options.drives) {
    auto drive = backends.drive(id);
    if (!drive && drive.error().kind() == ErrorKind::NotFound) {
      if (id != "pflash0" && id != "pflash1")
        return failf(ErrorKind::NotFound, "Property 'cfi.pflash01.drive' can't find value '{}'", id);
      break;
    }
    if (!drive) return std::unexpected(std::move(drive).error());
    TRY_IN(flash->add_unit(**drive, end, options.secure), "drive " + id);
    end -= flash->units_.back()->chip->size();
  }
  if (flash->units_.empty()) return nullptr;
  return flash;
}

SystemFlash::~SystemFlash() {
  for (auto& unit : units_) {
    for (Unit::Place& place : unit->places) {
      place.view->unmap(place.array);
      place.view->unmap(place.commands);
    }
    unit->drive->detach();
  }
}

Result<> SystemFlash::add_unit(block::Drive& drive, uint64_t end, bool secure) {
  const uint64_t size = drive.size();
  if (size == 0 || size % devices::Pflash::kBlock != 0) {
    return failf(ErrorKind::Invalid,
                 "system firmware block device has invalid size {}: it must be a multiple of 0x1000", size);
  }
  if (kTop - end + size > kMost) {
    return failf(ErrorKind::Invalid, "combined size of system firmware exceeds {} bytes", kMost);
  }
  auto unit = std::make_unique<Unit>();
  unit->drive = &drive;
  unit->array = TRY(memory::RamBlock::create("system.flash", size));
  TRY(drive.attach(*unit, {.device_id = "/machine/system.flash" + std::to_string(units_.size())}));
  TRY(drive.read_now(0, std::span(unit->array->host(), size)));
  unit->dirty.assign(size / devices::Pflash::kBlock, false);
  Unit* raw_unit = unit.get();
  unit->chip = std::make_unique<devices::Pflash>(devices::Pflash::Wiring{
      .array = *unit->array,
      .size = size,
      .read_only = drive.read_only(),
      .array_mode = [raw_unit](bool on) { raw_unit->show_array(on); },
      .changed = [raw_unit](uint64_t offset, uint64_t bytes) { raw_unit->changed(offset, bytes); }});
  units_.push_back(std::move(unit));
  return map(*raw_unit, end - size, secure);
}

Result<> SystemFlash::map(Unit& unit, uint64_t at, bool secure) {
  const uint64_t size = unit.chip->size();
  for (memory::AddressSpace* view : {&views_.memory, &views_.smm}) {
    if (secure && view == &views_.memory) {
      TRY(view->map_ram(Gpa{at}, *unit.array, 0, size, memory::RamAccess::ReadOnly, kPriority));
      continue;
    }
    Unit::Place place{view, {}, {}};
    place.array = TRY(view->map_rom_device(Gpa{at}, *unit.array, 0, size, *unit.chip, kPriority));
    place.commands = TRY(view->map_io(Gpa{at}, size, *unit.chip, 0, kPriority));
    view->set_enabled(place.commands, false);
    unit.places.push_back(place);
  }
  return {};
}

std::vector<bus::Device*> SystemFlash::devices() {
  std::vector<bus::Device*> all;
  for (auto& unit : units_) all.push_back(unit->chip.get());
  return all;
}

bool SystemFlash::busy() const {
  return std::ranges::any_of(units_, [](const auto& unit) { return unit->writing || unit->flushing; });
}

void SystemFlash::Unit::show_array(bool on) {
  for (Place& place : places) {
    place.view->begin();
    place.view->set_enabled(place.array, on);
    place.view->set_enabled(place.commands, !on);
    place.view->commit();
  }
}

void SystemFlash::Unit::changed(uint64_t offset, uint64_t bytes) {
  const uint64_t last = (offset + bytes - 1) / devices::Pflash::kBlock;
  for (uint64_t block = offset / devices::Pflash::kBlock; block <= last && block < dirty.size(); ++block)
    dirty[block] = true;
  if (!writing && !flushing) store_next();
}

std::optional<size_t> SystemFlash::Unit::take_dirty() {
  const auto found = std::ranges::find(dirty, true);
  if (found == dirty.end()) return std::nullopt;
  *found = false;
  return static_cast<size_t>(found - dirty.begin());
}

// One block after the other, then a flush.
void SystemFlash::Unit::store_next() {
  const auto result = [this](const Result<>& done) {
    if (done || failed) return;
    failed = true;
    log_error("{}: the firmware's variables cannot be saved: {}", drive->id(), done.error().message());
  };
  const auto block = take_dirty();
  if (!block) {
    if (!writing) return;
    writing = false;
    flushing = true;
    drive->flush([this, result](Result<> done) {
      result(done);
      flushing = false;
      store_next();
    });
    return;
  }
  writing = true;
  const uint8_t* from = array->host() + *block * devices::Pflash::kBlock;
  auto bytes = std::make_shared<std::vector<uint8_t>>(from, from + devices::Pflash::kBlock);
  drive->write(*block * devices::Pflash::kBlock, *bytes, [this, bytes, result](Result<> done) {
    result(done);
    store_next();
  });
}

}  // namespace rhea::machine
