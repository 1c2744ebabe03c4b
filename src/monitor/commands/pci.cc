// What is on the PCI buses.
#include <fmt/format.h>

#include "bus/pci/pci_bridge.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

using bus::pci::BarKind;
using bus::pci::PciBridge;
using bus::pci::PciBus;
using bus::pci::PciFunction;

struct ClassName {
  unsigned code;
  std::string_view name;
};
// PCI Code and ID Assignment Specification 1.11, in QEMU's words.
constexpr ClassName kClasses[] = {
    {0x0001, "VGA controller"},
    {0x0100, "SCSI controller"},
    {0x0101, "IDE controller"},
    {0x0102, "Floppy controller"},
    {0x0103, "IPI controller"},
    {0x0104, "RAID controller"},
    {0x0106, "SATA controller"},
    {0x0107, "SAS controller"},
    {0x0180, "Storage controller"},
    {0x0200, "Ethernet controller"},
    {0x0280, "Network controller"},
    {0x0300, "VGA controller"},
    {0x0301, "XGA controller"},
    {0x0302, "3D controller"},
    {0x0380, "Display controller"},
    {0x0400, "Video controller"},
    {0x0401, "Audio controller"},
    {0x0403, "Audio controller"},
    {0x0500, "RAM controller"},
    {0x0501, "Flash controller"},
    {0x0580, "Memory controller"},
    {0x0600, "Host bridge"},
    {0x0601, "ISA bridge"},
    {0x0602, "EISA bridge"},
    {0x0604, "PCI bridge"},
    {0x0680, "Bridge"},
    {0x0700, "Serial port"},
    {0x0701, "Parallel port"},
    {0x0780, "Communication controller"},
    {0x0880, "System peripheral"},
    {0x0900, "Keyboard"},
    {0x0901, "Pen"},
    {0x0902, "Mouse"},
    {0x0c00, "Firewire controller"},
    {0x0c03, "USB controller"},
    {0x0c05, "SMBus"},
};

std::string class_name(unsigned code) {
  for (const ClassName& known : kClasses) {
    if (known.code == code) return std::string(known.name);
  }
  return fmt::format("Class {:04x}", code);
}

std::string id_of(Call& call, const PciFunction& function) {
  for (const auto& plugged : call.vm.site->tree().devices()) {
    if (plugged->device.get() == &function) return plugged->request.id;
  }
  return {};
}

Json region(unsigned index, const PciFunction::BarInfo& bar) {
  bool io = bar.kind == BarKind::Io;
  Json out = {{"bar", index},
              {"size", bar.size},
              {"address", bar.address ? Json(*bar.address) : Json(-1)},
              {"type", io ? "io" : "memory"}};
  if (io) return out;
  out["mem_type_64"] = bar.kind == BarKind::Memory64 || bar.kind == BarKind::Prefetch64;
  out["prefetch"] = bar.kind == BarKind::Prefetch64;
  return out;
}

Json one_bus(Call& call, const PciBus& bus, unsigned number);

Json windows(const PciFunction& f) {
  auto range = [](uint64_t base, uint64_t limit) { return Json{{"base", base}, {"limit", limit}}; };
  uint64_t io_base = (f.config8(0x1c) & 0xf0u) << 8, io_limit = (f.config8(0x1d) & 0xf0u) << 8 | 0xfff;
  uint64_t base = uint64_t{f.config16(0x20) & 0xfff0u} << 16,
           limit = uint64_t{f.config16(0x22) & 0xfff0u} << 16 | 0xfffff;
  uint64_t pre_base = uint64_t{f.config16(0x24) & 0xfff0u} << 16 | uint64_t{f.config32(0x28)} << 32;
  uint64_t pre_limit =
      uint64_t{f.config16(0x26) & 0xfff0u} << 16 | 0xfffff | uint64_t{f.config32(0x2c)} << 32;
  return {{"number", f.config8(0x18)},          {"secondary", f.config8(0x19)},
          {"subordinate", f.config8(0x1a)},     {"io_range", range(io_base, io_limit)},
          {"memory_range", range(base, limit)}, {"prefetchable_range", range(pre_base, pre_limit)}};
}

Json one_function(Call& call, const PciFunction& f, unsigned number) {
  unsigned code = f.config16(0x0a);
  bool bridge = (f.config8(0x0e) & 0x7f) == 1;
  Json out = {
      {"bus", number}, {"slot", f.devfn() >> 3}, {"function", f.devfn() & 7}, {"qdev_id", id_of(call, f)}};
  out["class_info"] = {{"class", code}, {"desc", class_name(code)}};
  out["id"] = {{"device", f.config16(2)}, {"vendor", f.config16(0)}};
  if (!bridge) {
    out["id"]["subsystem-vendor"] = f.config16(0x2c);
    out["id"]["subsystem"] = f.config16(0x2e);
  }
  out["irq_pin"] = f.config8(0x3d);
  if (f.config8(0x3d) != 0) out["irq"] = f.config8(0x3c);
  if (bridge) {
    out["pci_bridge"] = {{"bus", windows(f)}};
    if (const auto* real = dynamic_cast<const PciBridge*>(&f))
      out["pci_bridge"]["devices"] =
          one_bus(call, const_cast<PciBridge*>(real)->secondary(), f.config8(0x19))["devices"];
  }
  out["regions"] = Json::array();
  for (unsigned i = 0; i < 7; ++i) {
    if (auto bar = f.bar_info(i)) out["regions"].push_back(region(i, *bar));
  }
  return out;
}

Json one_bus(Call& call, const PciBus& bus, unsigned number) {
  Json devices = Json::array();
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    if (const PciFunction* function = bus.at(devfn)) devices.push_back(one_function(call, *function, number));
  }
  return {{"bus", number}, {"devices", std::move(devices)}};
}

Result<Json> query_pci(Call& call) {
  Json list = Json::array();
  for (const auto& named : call.vm.site->tree().buses()) {
    const auto* bus = dynamic_cast<const PciBus*>(named.bus);
    if (bus != nullptr && bus->is_root()) list.push_back(one_bus(call, *bus, 0));
  }
  return list;
}

std::string show_region(const Json& r) {
  auto address = r["address"].is_number_unsigned() ? r["address"].get<uint64_t>() : ~uint64_t{0};
  uint64_t last = address + r["size"].get<uint64_t>() - 1;
  auto bar = r["bar"].get<unsigned>();
  if (r["type"] == "io") return fmt::format("      BAR{}: I/O at 0x{:04x} [0x{:04x}].\n", bar, address, last);
  return fmt::format("      BAR{}: {} bit{} memory at 0x{:08x} [0x{:08x}].\n", bar,
                     r["mem_type_64"].get<bool>() ? 64 : 32, r["prefetch"].get<bool>() ? " prefetchable" : "",
                     address, last);
}

std::string show_window(std::string_view name, const Json& range, int digits) {
  return fmt::format("      {} range [0x{:0{}x}, 0x{:0{}x}]\n", name, range["base"].get<uint64_t>(), digits,
                     range["limit"].get<uint64_t>(), digits);
}

std::string show_function(const Json& f) {
  const Json& id = f["id"];
  std::string text = fmt::format("  Bus {:2}, device {:3}, function {}:\n", f["bus"].get<unsigned>(),
                                 f["slot"].get<unsigned>(), f["function"].get<unsigned>());
  text += fmt::format("    {}: PCI device {:04x}:{:04x}\n", f["class_info"]["desc"].get<std::string>(),
                      id["vendor"].get<unsigned>(), id["device"].get<unsigned>());
  if (id.contains("subsystem"))
    text += fmt::format("      PCI subsystem {:04x}:{:04x}\n", id["subsystem-vendor"].get<unsigned>(),
                        id["subsystem"].get<unsigned>());
  if (f.contains("irq"))
    text +=
        fmt::format("      IRQ {}, pin {:c}\n", f["irq"].get<unsigned>(), 'A' + f["irq_pin"].get<int>() - 1);
  if (f.contains("pci_bridge")) {
    const Json& bus = f["pci_bridge"]["bus"];
    text += fmt::format("      BUS {}.\n      secondary bus {}.\n      subordinate bus {}.\n",
                        bus["number"].get<unsigned>(), bus["secondary"].get<unsigned>(),
                        bus["subordinate"].get<unsigned>());
    text += show_window("IO", bus["io_range"], 4) + show_window("memory", bus["memory_range"], 8) +
            show_window("prefetchable memory", bus["prefetchable_range"], 8);
  }
  for (const Json& r : f["regions"]) text += show_region(r);
  text += fmt::format("      id \"{}\"\n", f["qdev_id"].get<std::string>());
  if (f.contains("pci_bridge") && f["pci_bridge"].contains("devices")) {
    for (const Json& behind : f["pci_bridge"]["devices"]) text += show_function(behind);
  }
  return text;
}

std::string show_pci(const Json& list) {
  std::string text;
  for (const Json& bus : list) {
    for (const Json& function : bus["devices"]) text += show_function(function);
  }
  return text.empty() ? "PCI devices not supported\n" : text;
}

}  // namespace

std::span<const Command> pci_commands() {
  static const std::vector<Command> rows = {
      {"query-pci", "info pci", "", "show PCI info", {}, query_pci, show_pci},
  };
  return rows;
}

}  // namespace rhea::monitor
