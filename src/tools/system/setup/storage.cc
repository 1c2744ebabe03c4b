// Disks: -drive, -blockdev, -hda and its kin. Opens the images, names the drives, and asks for the devices
// that the options stand for.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/failf.h"
#include "base/log.h"
#include "block/drive/drives.h"
#include "monitor/json.h"
#include "tools/system/setup/drive_spec.h"
#include "tools/system/setup/live_storage.h"
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

// Drives and the machine: failures that stop it, and what it resumes.
class MachineOfDrives final : public block::DriveHost, public machine::RunListener {
 public:
  MachineOfDrives(machine::Vm& vm, const monitor::Context& monitor) : vm_(vm), monitor_(monitor) {}
  void connect(block::Drives& drives) { drives_ = &drives; }

  void drive_error(const block::DriveError& error) override {
    if (error.action == block::ErrorAction::Stop) vm_.request_pause(machine::RunState::IoError);
    const bool full = error.error.kind() == ErrorKind::NoSpace;
    log_info("drive {}: {}{}", error.drive.id(), error.error.message(), full ? " (the machine pauses)" : "");
    if (!monitor_.emit) return;
    constexpr const char* kActions[] = {"report", "ignore", "stop"};
    const monitor::Json data = {{"device", error.drive.shown_id()},
                                {"node-name", error.drive.node_name()},
                                {"reason", error.error.message()},
                                {"operation", error.op == block::DriveOp::Read ? "read" : "write"},
                                {"nospace", full},
                                {"action", kActions[static_cast<unsigned>(error.action)]}};
    monitor_.emit("BLOCK_IO_ERROR", monitor::write_json(data));
  }
  void tray_moved(const block::Drive& drive, bool open) override {
    if (!monitor_.emit) return;
    const monitor::Json data = {
        {"device", drive.shown_id()}, {"id", drive.attachment().device_id}, {"tray-open", open}};
    monitor_.emit("DEVICE_TRAY_MOVED", monitor::write_json(data));
  }
  void state_changed(machine::RunState, machine::RunState to) override {
    if (drives_ == nullptr) return;
    drives_->end_anywhere(to == machine::RunState::Running);
    if (to == machine::RunState::Running) drives_->resume();
  }
  void shutting_down(machine::Cause) override {
    if (drives_ != nullptr) drives_->end_anywhere(false);
  }

 private:
  machine::Vm& vm_;
  const monitor::Context& monitor_;
  block::Drives* drives_ = nullptr;
};

class StorageSetup final : public Setup {
 public:
  ~StorageSetup() override {
    if (vm_ == nullptr) return;
    const std::lock_guard guard(vm_->lock());
    vm_->remove_listener(*host_);
    drives_.reset();
  }

  Result<> open(SetupContext& context) override {
    vm_ = &context.vm;
    const std::lock_guard guard(vm_->lock());
    host_ = std::make_unique<MachineOfDrives>(*vm_, context.monitor);
    drives_ = std::make_unique<block::Drives>(block::Drives::Wiring{
        .loop = vm_->loop(), .clock = vm_->loop().virtual_clock(), .host = host_.get()});
    host_->connect(*drives_);
    vm_->add_listener(*host_);
    const bool has_ahci = context.options.machine.type.find("q35") != std::string::npos;
    DrivePlaces places(has_ahci ? 1 : 2, has_ahci ? 6 : 2);
    const StorageOptions& storage = context.options.storage;
    const auto first_device = static_cast<std::ptrdiff_t>(context.devices.size());
    for (const auto& option : storage.drives)
      TRY_IN(add_drive(context, places, option, storage.snapshot), option.option);
    for (const auto& node : TRY(join_blockdevs(storage.blockdevs)))
      TRY_IN(add_blockdev(places, node), node.option);
    add_default_drives(context, places);
    add_floppy_controller(context, first_device);
    live_ = std::make_unique<LiveStorage>(*drives_, std::move(places), storage);
    live_->fill_in(context.monitor);
    fill_in(context.backends);
    return {};
  }

 private:
  Result<> add_drive(SetupContext& context, DrivePlaces& places, const StorageOptions::Named& option,
                     bool snapshot) {
    const DriveSpec spec = TRY(places.drive(option, snapshot));
    TRY(add(spec));
    ask_for_device(context, spec);
    return {};
  }

  Result<> add_blockdev(DrivePlaces& places, const StorageOptions::Named& node) {
    return add(TRY(places.blockdev(node.values)));
  }

  Result<> add(const DriveSpec& spec) {
    block::Medium medium;
    if (spec.has_image) {
      medium = TRY(block::open_medium(spec.medium));
      if (medium.probed && !medium.read_only)
        std::fputs(block::raw_guess_warning(medium.filename).c_str(), stderr);
    }
    TRY(drives_->add(spec.config, std::move(medium)));
    return {};
  }

  static void ask_for_device(SetupContext& context, const DriveSpec& spec) {
    const std::string unit = std::to_string(spec.unit);
    switch (spec.interface) {
      case DriveInterface::Ide:
        context.devices.push_back(
            {spec.cdrom ? "ide-cd" : "ide-hd",
             {{"bus", "ide." + std::to_string(spec.bus)}, {"unit", unit}, {"drive", spec.config.id}}});
        break;
      case DriveInterface::Virtio:
        context.devices.push_back({"virtio-blk-pci", {{"drive", spec.config.id}}});
        break;
      case DriveInterface::Floppy:
        context.devices.push_back({"floppy", {{"unit", unit}, {"drive", spec.config.id}}});
        break;
      case DriveInterface::Pflash:  // the board looks for pflash0 and pflash1
      case DriveInterface::None: break;
    }
  }

  // A PC has a CD-ROM drive unless the user said what it has.
  void add_default_drives(SetupContext& context, DrivePlaces& places) {
    if (context.options.nodefaults) return;
    if (!context.has_device({"ide-cd", "ide-hd", "scsi-cd", "scsi-hd"}) &&
        !places.taken(DriveInterface::Ide, places_bus(context, 2), places_unit(context, 2))) {
      const StorageOptions::Named cdrom{"the default CD-ROM drive", {{"index", "2"}, {"media", "cdrom"}}};
      if (auto added = add_drive(context, places, cdrom, false); !added)
        log_warn("{}: {}", cdrom.option, added.error().message());
    }
    if (!one_unit(context) && !context.has_device({"isa-fdc", "floppy"}) &&
        !places.taken(DriveInterface::Floppy, 0, 0)) {
      const StorageOptions::Named floppy{"the default floppy drive", {{"if", "floppy"}, {"index", "0"}}};
      if (auto added = add_drive(context, places, floppy, false); !added)
        log_warn("{}: {}", floppy.option, added.error().message());
    }
  }
  // Drives of any option hang on the machine's own controller, which comes before them.
  static void add_floppy_controller(SetupContext& context, std::ptrdiff_t first_device) {
    const bool wanted = std::ranges::any_of(
        context.devices, [](const machine::DeviceRequest& request) { return request.driver == "floppy"; });
    if ((!wanted && !context.has_device({"floppy"})) || context.has_device({"isa-fdc"})) return;
    context.devices.insert(context.devices.begin() + first_device, {"isa-fdc", {}});
  }
  static bool one_unit(const SetupContext& context) {
    return context.options.machine.type.find("q35") != std::string::npos;
  }
  static unsigned places_bus(const SetupContext& context, unsigned index) {
    return one_unit(context) ? index : index / 2;
  }
  static unsigned places_unit(const SetupContext& context, unsigned index) {
    return one_unit(context) ? 0 : index % 2;
  }

  void fill_in(machine::Backends& backends) {
    backends.drive = [this](const std::string& id) -> Result<block::Drive*> {
      block::Drive* drive = TRY(live_->find(id));
      if (drive->attached())
        return failf(ErrorKind::Busy, "Drive '{}' is already in use by another device", id);
      return drive;
    };
    backends.empty_drive = [this](const std::string& device_id) -> Result<block::Drive*> {
      block::DriveConfig config;
      config.id = device_id.empty() ? fmt::format("#drive{}", unnamed_++) : device_id;
      return drives_->add(std::move(config), {});
    };
    backends.drives = drives_.get();
  }

  machine::Vm* vm_ = nullptr;
  std::unique_ptr<MachineOfDrives> host_;
  std::unique_ptr<block::Drives> drives_;
  std::unique_ptr<LiveStorage> live_;
  unsigned unnamed_ = 0;
};

}  // namespace

std::unique_ptr<Setup> make_storage_setup() {
  return std::make_unique<StorageSetup>();
}

}  // namespace rhea::system
