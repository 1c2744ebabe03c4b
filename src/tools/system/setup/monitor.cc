// Who talks to the emulator itself: -monitor, -qmp, -mon; and -parallel, whose ports are devices as any
// other.
#include "monitor/monitor.h"

#include "base/log.h"
#include "block/drive/drives.h"
#include "display/key_sender.h"
#include "monitor/json.h"
#include "tools/system/setup/setup.h"
#include "tools/system/setup/viewers.h"

namespace rhea::system {
namespace {

class MonitorSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    monitor::Context& reach = context.monitor;
    reach.screens = context.backends.screens;
    reach.input = context.backends.input;
    reach.network = context.backends.network;
    reach.drives = context.backends.drives;
    context.lines.all().hooks().commit = [drives = reach.drives] { commit_all(drives); };
    if (reach.input != nullptr) {
      keys_ = std::make_unique<display::KeySender>(*reach.input, context.vm.loop().virtual_clock());
      reach.key_sender = keys_.get();
    }
    monitor_ = std::make_unique<monitor::Monitor>(reach);
    reach.emit = [this](std::string_view event, const std::string& json) {
      monitor_->emit(event,
                     json.empty() ? monitor::Json() : monitor::parse_json(json).value_or(monitor::Json()));
    };
    chardev::Chardevs& all = context.lines.all();
    lines_ = &all;
    std::vector<MonRequest> wanted = context.options.monitor.monitors;
    for (const std::string& words : context.lines.shared_with_monitor())
      wanted.push_back({"-serial mon:", words});
    const bool by_default = !context.options.monitor.monitor_given && !context.options.nodefaults;
    if (by_default && wanted.empty() && will_have_window(context.options))
      wanted.push_back({"-monitor vc", "vc"});
    unsigned number = 0;
    for (const MonRequest& request : wanted) {
      std::string label = "compat_monitor" + std::to_string(number++);
      std::lock_guard hold(context.vm.lock());
      chardev::Chardev* line = TRY_IN(all.open(request.words, label), request.option);
      request.control ? monitor_->add_qmp(*line, request.pretty) : monitor_->add_hmp(*line);
    }
    return add_parallel_ports(context);
  }

  Result<> board_made(machine::Vm&, machine::PcBoard& board) override {
    board.site().tree().on_removal([this](const machine::DeviceRequest& request, const std::string& path) {
      device_left(request, path);
    });
    return {};
  }

 private:
  void device_left(const machine::DeviceRequest& request, const std::string& path) {
    for (const auto& [key, value] : request.values) {
      if (key == "chardev" && value) lines_->give_back(*value);
    }
    if (request.driver.starts_with("virtio-") && request.driver.find("-pci") != std::string::npos)
      monitor_->emit("DEVICE_DELETED", {{"path", path + "/virtio-backend"}});
    monitor::Json data = {{"path", path}};
    if (!request.id.empty()) data = {{"device", request.id}, {"path", path}};
    monitor_->emit("DEVICE_DELETED", std::move(data));
  }

  // Ctrl-A s.
  static void commit_all(block::Drives* drives) {
    if (drives == nullptr) return;
    for (const auto& drive : drives->all()) {
      if (!drive->inserted() || !drive->medium().temporary) continue;
      drive->commit([id = drive->id()](const Result<>& done) {
        if (!done) log_error("{}: {}", id, done.error().message());
      });
    }
  }

  static Result<> add_parallel_ports(SetupContext& context) {
    const auto& ports = context.options.monitor.parallels;
    if (ports.empty() && !context.options.nodefaults && !context.has_device({"isa-parallel"}))
      context.devices.push_back({"isa-parallel", {{"index", "0"}}});
    for (size_t i = 0; i < ports.size(); ++i) {
      if (ports[i] == "none") continue;
      std::string label = "parallel" + std::to_string(i);
      std::string id = ports[i].starts_with("chardev:") ? ports[i].substr(8) : label;
      if (id == label) {
        auto spec = TRY_IN(chardev::parse_words(ports[i]), "-parallel " + ports[i]);
        TRY_IN(context.lines.all().add(spec, label), "-parallel " + ports[i]);
      }
      context.devices.push_back({"isa-parallel", {{"index", std::to_string(i)}, {"chardev", id}}});
    }
    return {};
  }

  std::unique_ptr<display::KeySender> keys_;
  std::unique_ptr<monitor::Monitor> monitor_;
  chardev::Chardevs* lines_ = nullptr;
};

}  // namespace

std::unique_ptr<Setup> make_monitor_setup() {
  return std::make_unique<MonitorSetup>();
}

}  // namespace rhea::system
