// Devices that come and go, and what the machine consists of.
#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "bus/pci/pci_bus.h"
#include "bus/usb/usb_port.h"
#include "machine/plug/hotplug.h"
#include "machine/plug/registry.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

namespace {

using machine::DeviceRequest;
using machine::DeviceTree;

Result<Json> plug(Call& call, const DeviceRequest& request) {
  TRY(machine::hot_add(*call.vm.site, request));
  return Json();
}

Result<Json> add_words(Call& call) {
  config::KeyValues values = TRY(config::split_options(call.text("device"), "driver"));
  auto driver = config::take(values, "driver");
  if (!driver) return fail(ErrorKind::Invalid, "Parameter 'driver' is missing");
  if (*driver == "help" || *driver == "?") return Json(machine::devices_help());
  if (config::asks_for_help(call.text("device"))) return Json(TRY(machine::device_help(*driver)));
  std::string id = config::take(values, "id").value_or("");
  return plug(call, {*driver, std::move(values), std::move(id)});
}

Result<Json> add_object(Call& call) {
  config::KeyValues values = TRY(config::split_options(write_json(call.arguments), ""));
  auto driver = config::take(values, "driver");
  std::string id = config::take(values, "id").value_or("");
  return plug(call, {driver.value_or(""), std::move(values), std::move(id)});
}

Result<Json> unplug(Call& call) {
  TRY(machine::hot_remove(*call.vm.site, call.text("id")));
  return Json();
}

class Tree {
 public:
  explicit Tree(Call& call) : tree_(call.vm.site->tree()) {}

  std::string whole() {
    text_ = "bus: main-system-bus\n  type System\n";
    for (const auto& named : tree_.buses()) {
      if (named.owner == nullptr) bus(named, 2);
    }
    for (const auto& plugged : tree_.devices()) {
      if (plugged->bus.empty()) device(*plugged, 2);
    }
    return std::move(text_);
  }

 private:
  template <class... Args>
  void line(int indent, fmt::format_string<Args...> format, Args&&... args) {
    text_ += std::string(static_cast<size_t>(indent), ' ') +
             fmt::format(format, std::forward<Args>(args)...) + "\n";
  }

  const DeviceTree::Plugged* plugged_of(const bus::Device* device) const {
    for (const auto& plugged : tree_.devices()) {
      if (plugged->device.get() == device) return plugged.get();
    }
    return nullptr;
  }

  void bus(const DeviceTree::NamedBus& named, int indent) {
    line(indent, "bus: {}", named.name);
    line(indent + 2, "type {}", named.bus->type());
    const auto* pci = dynamic_cast<const bus::pci::PciBus*>(named.bus);
    for (unsigned devfn = 256; pci != nullptr && devfn-- > 0;) {
      const bus::pci::PciFunction* function = pci->at(devfn);
      if (function == nullptr || plugged_of(function) != nullptr) continue;
      line(indent + 2, "dev: {}, id \"\"", function->name());
      line(indent + 4, "addr = {:02x}.{:x}", devfn >> 3, devfn & 7);
      buses_of(function, indent + 4);
    }
    for (const auto& plugged : tree_.devices()) {
      if (plugged->bus == named.name) device(*plugged, indent + 2);
    }
  }

  void device(const DeviceTree::Plugged& plugged, int indent) {
    line(indent, "dev: {}, id \"{}\"", plugged.request.driver, plugged.request.id);
    for (const auto& [key, value] : plugged.request.values)
      line(indent + 2, "{} = \"{}\"", key, value.value_or("on"));
    if (const auto* function = dynamic_cast<const bus::pci::PciFunction*>(plugged.device.get()))
      line(indent + 2, "addr = {:02x}.{:x}", function->devfn() >> 3, function->devfn() & 7);
    buses_of(plugged.device.get(), indent + 2);
  }

  void buses_of(const bus::Device* owner, int indent) {
    for (const auto& named : tree_.buses()) {
      if (named.owner == owner) bus(named, indent);
    }
  }

  DeviceTree& tree_;
  std::string text_;
};

Result<Json> qtree(Call& call) {
  return Json(Tree(call).whole());
}

constexpr const char* megabits(bus::usb::Speed speed) {
  switch (speed) {
    case bus::usb::Speed::Low: return "1.5";
    case bus::usb::Speed::Full: return "12";
    case bus::usb::Speed::High: return "480";
    case bus::usb::Speed::Super: return "5000";
  }
  return "?";
}

Result<Json> usb(Call& call) {
  std::string text;
  unsigned number = 0;
  DeviceTree& tree = call.vm.site->tree();
  for (const auto& named : tree.buses()) {
    const auto* bus = dynamic_cast<const bus::usb::UsbBus*>(named.bus);
    if (bus == nullptr) continue;
    for (const bus::usb::UsbPort* port : bus->ports()) {
      const bus::usb::UsbDevice* device = port->device();
      if (device == nullptr) continue;
      text += fmt::format("  Device {}.{}, Port {}, Speed {} Mb/s, Product {}", number, device->address(),
                          port->path(), megabits(device->speed()), device->product_name());
      for (const auto& plugged : tree.devices()) {
        if (plugged->device.get() == device && !plugged->request.id.empty())
          text += ", ID: " + plugged->request.id;
      }
      text += '\n';
    }
    ++number;
  }
  if (number == 0) return fail(ErrorKind::Invalid, "USB support not enabled");
  return Json(text);
}

Result<Json> irq(Call& call) {
  std::string text = call.vm.board->interrupt_counts();
  return call.hmp ? Json(text) : Json{{"human-readable-text", text}};
}
Result<Json> pic(Call& call) {
  return Json(call.vm.board->interrupt_state());
}

}  // namespace

std::span<const Command> device_commands() {
  static const std::vector<Command> rows = {
      {nullptr,
       "device_add",
       "driver[,prop=value][,...]",
       "add device, like -device on the command line",
       {{"device", Kind::Rest, true}},
       add_words},
      {"device_add",
       nullptr,
       "",
       "",
       {{"driver", Kind::String}, {"id", Kind::String, true}, {"", Kind::Any, true}},
       add_object},
      {"device_del", "device_del", "device", "remove device", {{"id", Kind::String}}, unplug},
      {nullptr, "info qtree", "", "show device tree", {}, qtree},
      {nullptr, "info usb", "", "show guest USB devices", {}, usb},
      {"x-query-irq", "info irq", "", "show the interrupts statistics (if available)", {}, irq},
      {nullptr, "info pic", "", "show PIC state", {}, pic},
  };
  return rows;
}

}  // namespace rhea::monitor
