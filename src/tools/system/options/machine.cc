#include "tools/system/options/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "base/log.h"
#include "tools/system/options.h"
#include "tools/system/options/smbios.h"

namespace rhea::system {

namespace {

using config::boolean;
using config::choice;
using config::integer;
using config::text;

template <class T>
config::Property on_off_auto(std::string name, OnOffAuto T::*member, std::string help) {
  return choice(std::move(name), member,
                {{"auto", OnOffAuto::Auto},
                 {"on", OnOffAuto::On},
                 {"off", OnOffAuto::Off},
                 {"yes", OnOffAuto::On},
                 {"no", OnOffAuto::Off},
                 {"true", OnOffAuto::On},
                 {"false", OnOffAuto::Off}},
                std::move(help));
}

const config::Group<MachineOptions>& machine_group() {
  using M = MachineOptions;
  static const config::Group<M> group{
      "machine",
      "type",
      {
          text("type", &M::type, "machine type, see -machine help"),
          text("accel", &M::accel, "engines to try in order, as in kvm:tcg"),
          boolean("hpet", &M::hpet, "high precision event timer"),
          boolean("acpi", &M::acpi, "ACPI tables"),
          boolean("usb", &M::usb, "a USB controller, as -usb"),
          on_off_auto("smm", &M::smm, "system-management mode (auto: if the engine has it)"),
          on_off_auto("vmport", &M::vmport, "the port of VMware's interface, and its mouse (auto: on)"),
          text("pcspk-audiodev", &M::pcspk_audiodev, "id of the audiodev on which the PC speaker is heard"),
          boolean("mem-merge", &M::mem_merge, "the host may share equal pages between machines"),
          boolean("dump-guest-core", &M::dump_guest_core,
                  "guest memory is part of the emulator's core dumps"),
          boolean("graphics", &M::graphics, "off: firmware talks on the first serial port"),
          choice("kernel_irqchip", &M::irqchip,
                 {{"on", IrqChip::On}, {"off", IrqChip::Off}, {"split", IrqChip::Split}},
                 "KVM only: interrupt controllers in the host's kernel"),
          choice("kernel-irqchip", &M::irqchip,
                 {{"on", IrqChip::On}, {"off", IrqChip::Off}, {"split", IrqChip::Split}},
                 "as kernel_irqchip"),
          text("memory-backend", &M::memory_backend, "id of the object that is the guest's memory"),
          text("pflash0", &M::pflash0, "id of the drive or block node with the firmware"),
          text("pflash1", &M::pflash1, "… and with its variables"),
      }};
  return group;
}

const config::Group<BootOptions>& boot_group() {
  using B = BootOptions;
  static const config::Group<B> group{
      "boot",
      "order",
      {
          text("order", &B::order, "a floppy, c disk, d CD-ROM, n network"),
          text("once", &B::once, "the order until the first reset"),
          boolean("menu", &B::menu, "firmware's boot menu"),
          text("splash", &B::splash, "a JPEG or BMP file that the firmware shows"),
          integer("splash-time", &B::splash_time, 0, 65535,
                  "how long that or the menu's prompt stays, in ms"),
          integer("reboot-timeout", &B::reboot_timeout, -1, 65535,
                  "ms until another try when nothing boots; -1: never"),
          boolean("strict", &B::strict, "nothing but devices with a bootindex is tried"),
      }};
  return group;
}

const config::Group<AcpiTableOptions>& acpi_table_group() {
  using A = AcpiTableOptions;
  constexpr uint32_t kMax = UINT32_MAX;
  static const config::Group<A> group{
      "acpitable",
      "",
      {
          text("sig", &A::sig, "signature, four characters"),
          integer("rev", &A::rev, 0u, 255u, "revision"),
          text("oem_id", &A::oem_id, "six characters at most"),
          text("oem_table_id", &A::oem_table_id, "eight characters at most"),
          integer("oem_rev", &A::oem_rev, 0u, kMax, "revision of the OEM's"),
          text("asl_compiler_id", &A::asl_compiler_id, "four characters at most"),
          integer("asl_compiler_rev", &A::asl_compiler_rev, 0u, kMax, "revision of the compiler"),
          text("data", &A::data, "FILE[:FILE…] with the table behind its header"),
          text("file", &A::file, "FILE[:FILE…] with the whole table"),
      }};
  return group;
}

const config::Group<OptionRomOptions>& option_rom_group() {
  using R = OptionRomOptions;
  static const config::Group<R> group{
      "option-rom",
      "romfile",
      {text("romfile", &R::file, "the file"),
       integer("bootindex", &R::bootindex, 0, 0x7fffffff, "place in the order of boot devices")}};
  return group;
}

// Letters as in QEMU: a and b are floppies, c to f disks, n to p networks.
Result<> check_order(const std::string& order) {
  for (size_t i = 0; i < order.size(); ++i) {
    char letter = order[i];
    if (letter < 'a' || letter > 'p') return failf(ErrorKind::Invalid, "Invalid boot device '{}'", letter);
    if (order.find(letter) != i) return failf(ErrorKind::Invalid, "Boot device '{}' was given twice", letter);
  }
  return {};
}

}  // namespace

const machine::MachineType& MachineOptions::machine() const {
  const machine::MachineType* found = machine::find_machine_type(type.empty() ? "pc" : type);
  return *(found != nullptr ? found : machine::find_machine_type("pc"));
}

std::string machine_help() {
  std::string out = "Supported machines are:\n";
  for (const machine::MachineType& type : machine::machine_types()) {
    if (!type.alias.empty())
      out += fmt::format("{:<20} {} (alias of {})\n", type.alias, type.text(), type.name);
    out += fmt::format("{:<20} {}{}{}\n", type.name, type.text(), type.is_default ? " (default)" : "",
                       type.deprecated ? " (deprecated)" : "");
  }
  return out;
}

void add_machine_type_options(Options& to, SystemOptions& o) {
  auto take = [&o](std::string_view words) -> Result<> {
    if (words == "?" || words == "help" || words == "type=help") print_and_exit(machine_help());
    if (config::asks_for_help(words)) print_and_exit(machine_group().help());
    TRY(machine_group().parse_into(words, o.machine));
    if (!o.machine.type.empty() && machine::find_machine_type(o.machine.type) == nullptr) {
      for (const std::string_view later : {"microvm", "virt", "xenfv", "xenpv"}) {
        if (o.machine.type == later)
          return failf(ErrorKind::Unsupported, "machine type '{}' is not supported yet", later);
      }
      return failf(ErrorKind::Unsupported, "unsupported machine type '{}'; use -machine help for a list",
                   o.machine.type);
    }
    return {};
  };
  to.push_back({"machine", "[type=]NAME[,PROPERTY=VALUE…]",
                "selects the machine and its properties; -machine help lists them, -machine NAME,help these",
                take});
  to.push_back({"M", "[type=]NAME[,PROPERTY=VALUE…]", "as -machine", take});
}

void add_boot_device_options(Options& to, SystemOptions& o) {
  to.push_back(grouped("boot",
                       "[order=]DRIVES[,once=DRIVES][,menu=on|off][,splash=FILE][,splash-time=MS]"
                       "[,reboot-timeout=MS][,strict=on|off]",
                       "what the firmware boots", boot_group(), [&o](std::string_view words) -> Result<> {
                         TRY(boot_group().parse_into(words, o.boot));
                         TRY(check_order(o.boot.order));
                         return check_order(o.boot.once);
                       }));
}

void add_firmware_table_options(Options& to, SystemOptions& o) {
  const auto no = [&to](const char* name, const char* help, bool& what) {
    to.push_back({name, "", help, [&what](std::string_view) -> Result<> {
                    what = false;
                    return {};
                  }});
  };
  no("no-acpi", "as -machine acpi=off", o.machine.acpi);
  no("no-hpet", "as -machine hpet=off", o.machine.hpet);
  no("no-fd-bootchk", "floppies without a boot signature are booted, too", o.boot.floppy_check);
  to.push_back(grouped("option-rom", "[romfile=]FILE[,bootindex=N]", "an option ROM without a device",
                       option_rom_group(), [&o](std::string_view words) -> Result<> {
                         o.option_roms.push_back(TRY(option_rom_group().parse(words)));
                         if (!o.option_roms.back().file.empty()) return {};
                         return fail(ErrorKind::Invalid, "Parameter 'romfile' is missing");
                       }));
  to.push_back({"smbios", "file=FILE|type=0|1|2|3|11[,FIELD=TEXT…]", "what the SMBIOS tables say",
                [&o](std::string_view words) { return take_smbios(words, o.smbios); }});
  to.push_back(grouped("acpitable", "[sig=TEXT][,rev=N]…,data=FILE|file=FILE", "one more ACPI table",
                       acpi_table_group(), [&o](std::string_view words) -> Result<> {
                         const AcpiTableOptions table = TRY(acpi_table_group().parse(words));
                         o.acpi_tables.push_back(TRY(make_acpi_table(table)));
                         return {};
                       }));
}

}  // namespace rhea::system
