// The command line of rhea-system-x86_64: one table, from which parser and -help come. Whatever is not in it,
// and whatever is in it with a value that cannot be honoured, is refused.
#include "config/command_line.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/failf.h"
#include "base/log.h"
#include "cpu/models/cpu_model.h"
#include "machine/plug/registry.h"
#include "monitor/json.h"
#include "tools/system/config_file.h"
#include "tools/system/firmware_help.h"
#include "tools/system/groups.h"
#include "tools/system/options.h"
#include "tools/system/options/table.h"

namespace rhea::system {

namespace {

constexpr const char* kUsage =
    "usage: {} [options] [disk_image]\n\n'disk_image' is a raw hard disk image for IDE hard disk 0\n\n";
constexpr const char* kKeys =
    "\nDuring emulation, the following keys are useful:\n"
    "ctrl-alt-f      toggle full screen\n"
    "ctrl-alt-n      switch to virtual console 'n'\n"
    "ctrl-alt-g      toggle mouse and keyboard grab\n\n"
    "When using -nographic, press 'ctrl-a h' to get some help.\n";

// Under QEMU's name also what tools look for in it.
std::string version_text() {
  if (program_name().starts_with("qemu-system-"))
    return "QEMU emulator version 7.2.0 (Rhea " RHEA_VERSION ")\n";
  return "Rhea emulator version " RHEA_VERSION "\n";
}

Result<> take_accel(SystemOptions& o, std::string_view text) {
  AccelOptions accel = TRY(accel_group().parse(text));
  if (accel.kind == EngineKind::Kvm) {
    bool translator = accel.thread || accel.tb_size || accel.deterministic || accel.link ||
                      accel.jump_cache || accel.probe || accel.hot || accel.slots || accel.flag_liveness ||
                      accel.groups || accel.superblocks || accel.lazy_flags || accel.far_links ||
                      accel.returns || accel.huge_code || accel.quick_dispatch || accel.inline_system ||
                      accel.inline_strings || accel.prefetch || accel.predict || accel.large_pages ||
                      accel.single || accel.max_insns;
    if (translator)
      return fail(ErrorKind::Invalid, "thread, tb-size and the switches are the translator's, not kvm's");
  }
  o.accelerators.push_back(accel);
  return {};
}

// "kvm:tcg" of -machine accel=.
Result<> expand_machine_accel(SystemOptions& o) {
  if (o.machine.accel.empty()) return {};
  if (!o.accelerators.empty())
    return fail(ErrorKind::Invalid, "The -accel and \"-machine accel=\" options are incompatible");
  std::string_view rest = o.machine.accel;
  while (!rest.empty()) {
    auto colon = rest.find(':');
    TRY_IN(take_accel(o, rest.substr(0, colon)), "-machine accel=" + o.machine.accel);
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return {};
}

Result<> take_device(SystemOptions& o, std::string_view text) {
  if (text == "help" || text == "?") print_and_exit(machine::devices_help());
  config::KeyValues values = TRY(config::split_options(text, "driver"));
  auto driver = config::take(values, "driver");
  if (!driver) return fail(ErrorKind::Invalid, "Parameter 'driver' is missing");
  if (config::asks_for_help(text)) {
    const auto help = machine::device_help(*driver);
    if (!help) return failf(ErrorKind::NotFound, "'{}' is not a valid device model name", *driver);
    print_and_exit(*help);
  }
  std::string id = config::take(values, "id").value_or("");
  o.devices.push_back({*driver, std::move(id), std::move(values)});
  return {};
}

Result<> take_global(SystemOptions& o, std::string_view text) {
  auto dot = text.find('.'), equals = text.find('=');
  if (text.starts_with("driver=")) {
    config::KeyValues values = TRY(config::split_options(text, ""));
    auto driver = config::take(values, "driver"), property = config::take(values, "property"),
         value = config::take(values, "value");
    if (!driver || !property || !value || !values.empty())
      return fail(ErrorKind::Invalid, "expected driver=DRIVER,property=PROPERTY,value=VALUE");
    o.globals.push_back({*driver, *property, *value});
    return {};
  }
  if (dot == std::string_view::npos || equals == std::string_view::npos || dot > equals) {
    return fail(ErrorKind::Invalid, "expected DRIVER.PROPERTY=VALUE");
  }
  o.globals.push_back({std::string(text.substr(0, dot)), std::string(text.substr(dot + 1, equals - dot - 1)),
                       std::string(text.substr(equals + 1))});
  return {};
}

Result<> take_fw_cfg(SystemOptions& o, std::string_view text) {
  FwCfgOptions item = TRY(fw_cfg_group().parse(text));
  if (item.name.empty()) return fail(ErrorKind::Invalid, "Parameter 'name' is missing");
  if (item.file.has_value() == item.string.has_value()) {
    return fail(ErrorKind::Invalid, "exactly one of 'file' and 'string' is needed");
  }
  o.fw_cfg.push_back(std::move(item));
  return {};
}

void add_machine_options(Options& to, SystemOptions& o) {
  add_machine_type_options(to, o);
  to.push_back({"cpu", "MODEL[,+FEATURE|-FEATURE|FEATURE=on|off…]", "CPU model; -cpu help lists them",
                [&o](std::string_view text) -> Result<> {
                  if (text == "help" || text == "?") print_and_exit(cpu::cpu_help());
                  o.cpu = text;
                  return {};
                }});
  to.push_back(grouped("accel", "[accel=]tcg|dbt|kvm[,SWITCH=VALUE…]", "engine; may be repeated to fall back",
                       accel_group(), [&o](std::string_view text) { return take_accel(o, text); }));
  to.push_back({"enable-kvm", "", "as -accel kvm", [&o](std::string_view) { return take_accel(o, "kvm"); }});
  to.push_back(grouped("smp", "[cpus=]N[,sockets=N][,cores=N][,threads=N][,maxcpus=N]",
                       "vCPUs and their topology", smp_group(),
                       [&o](std::string_view text) { return smp_group().parse_into(text, o.smp); }));
  add_memory_options(to, o);
  to.push_back(grouped("rtc", "[base=utc|localtime|DATE][,clock=host|vm][,driftfix=none|slew]",
                       "the guest's clock", rtc_group(),
                       [&o](std::string_view text) { return rtc_group().parse_into(text, o.rtc); }));
  to.push_back({"device", "DRIVER[,PROPERTY=VALUE…]", "adds a device; -device help lists them",
                [&o](std::string_view text) { return take_device(o, text); }});
  to.push_back({"global", "DRIVER.PROPERTY=VALUE", "default of a property of all devices of a kind",
                [&o](std::string_view text) { return take_global(o, text); }});
  to.push_back(grouped("name", "[guest=]NAME[,process=NAME][,debug-threads=on|off]",
                       "the machine's name, and that of the process", name_group(),
                       [&o](std::string_view text) { return name_group().parse_into(text, o.name); }));
  to.push_back(word("uuid", "UUID", "the machine's UUID", o.uuid));
}

void add_boot_options(Options& to, SystemOptions& o) {
  add_boot_device_options(to, o);
  to.push_back(word("kernel", "FILE", "Linux, Multiboot or PVH kernel to start", o.kernel));
  to.push_back(word("initrd", "FILE", "initial RAM disk, or Multiboot modules", o.initrd));
  to.push_back({"append", "TEXT", "the kernel's command line", [&o](std::string_view text) -> Result<> {
                  o.append = text;
                  o.append_given = true;
                  return {};
                }});
  to.push_back(word("bios", "FILE", "firmware, bios-256k.bin by default", o.bios));
  to.push_back({"L", "FOLDER", "another place to look for firmware", [&o](std::string_view text) -> Result<> {
                  if (text == "help") print_and_exit(firmware_folders_help(o.folders));
                  o.folders.emplace_back(text);
                  return {};
                }});
  to.push_back(grouped("fw_cfg", "[name=]NAME,file=FILE|string=TEXT", "an item for the firmware and guest",
                       fw_cfg_group(), [&o](std::string_view text) { return take_fw_cfg(o, text); }));
  add_firmware_table_options(to, o);
}

void add_line_options(Options& to, SystemOptions& o) {
  to.push_back(flag("nographic", "no display; the first serial port is on the terminal, Ctrl-A h for help",
                    o.nographic));
  to.push_back(flag("nodefaults", "only the devices that are asked for", o.nodefaults));
  to.push_back({"no-user-config", "", "no configuration files (there are none)",
                [](std::string_view) -> Result<> { return {}; }});
}

const config::Group<MessageOptions>& message_group() {
  static const config::Group<MessageOptions> group{
      "msg",
      "",
      {config::boolean("timestamp", &MessageOptions::timestamp, "messages begin with the time"),
       config::boolean("guest-name", &MessageOptions::guest_name, "and with the machine's name")}};
  return group;
}

const config::Group<OvercommitOptions>& overcommit_group() {
  static const config::Group<OvercommitOptions> group{
      "overcommit",
      "",
      {config::boolean("mem-lock", &OvercommitOptions::mem_lock, "all memory stays in the host's RAM"),
       config::boolean("cpu-pm", &OvercommitOptions::cpu_pm,
                       "the guest manages the host processors' power")}};
  return group;
}

Result<> take_overcommit(SystemOptions& o, std::string_view text) {
  TRY(overcommit_group().parse_into(text, o.overcommit));
  if (o.overcommit.cpu_pm) return fail(ErrorKind::Unsupported, "'cpu-pm=on' is not supported");
  return {};
}

void add_run_options(Options& to, SystemOptions& o) {
  to.push_back(grouped("msg", "[timestamp=on|off][,guest-name=on|off]", "what messages begin with",
                       message_group(),
                       [&o](std::string_view text) { return message_group().parse_into(text, o.messages); }));
  to.push_back(grouped("overcommit", "[mem-lock=on|off][,cpu-pm=on|off]", "what the host may not take back",
                       overcommit_group(), [&o](std::string_view text) { return take_overcommit(o, text); }));
  to.push_back(flag("no-reboot", "a reset ends the machine", o.no_reboot));
  to.push_back(flag("no-shutdown", "the machine stays, stopped, after power-off", o.no_shutdown));
  to.push_back(flag("S", "the machine starts stopped; a debugger lets it go", o.start_paused));
  to.push_back({"s", "", "as -gdb tcp::1234", [&o](std::string_view) -> Result<> {
                  o.gdb = "tcp::1234";
                  return {};
                }});
  to.push_back(word("gdb", "tcp::PORT|unix:PATH", "waits for a debugger there", o.gdb));
  to.push_back({"d", "ITEM,…", "what to log; -d help lists it", [&o](std::string_view text) -> Result<> {
                  if (text == "help" || text == "?") print_and_exit(log_items_help());
                  o.log_items = text;
                  return {};
                }});
  to.push_back(word("D", "FILE", "where the log goes instead of standard error", o.log_file));
  const auto expanded = [](std::string_view) -> Result<> { return {}; };  // by expand_arguments()
  to.push_back({"readconfig", "FILE", "options from a configuration file", expanded});
  to.push_back({"set", "GROUP.ID.KEY=VALUE", "changes the option of that group and id before it", expanded});
  to.push_back(flag("perfmap", "names translated code for perf in /tmp/perf-PID.map", o.perfmap));
  to.push_back({"version", "", "prints the version",
                [](std::string_view) -> Result<> { print_and_exit(version_text()); }});
}

Result<> check_whole(SystemOptions& o) {
  TRY(expand_machine_accel(o));
  TRY(check_monitor_options(o));
  TRY(settle_memory(o));
  if (o.machine.machine().is_empty()) o.nodefaults = o.start_paused = true;
  if (o.kernel.empty() && o.append_given)
    return fail(ErrorKind::Invalid, "-append only allowed with -kernel option");
  if (o.kernel.empty() && !o.initrd.empty())
    return fail(ErrorKind::Invalid, "-initrd only allowed with -kernel option");
  return {};
}

// Options of QEMU 7.2 that this program does not have.
constexpr std::string_view kRefused[] = {
    "action",
    "add-fd",
    "async-teardown",
    "audio-help",
    "chroot",
    "compat",
    "dfilter",
    "dtb",
    "dump-vmstate",
    "fsdev",
    "icount",
    "incoming",
    "enable-sync-profile",
    "iscsi",
    "loadvm",
    "mtdblock",
    "numa",
    "only-migratable",
    "plugin",
    "portrait",
    "preconfig",
    "qtest",
    "qtest-log",
    "rotate",
    "runas",
    "sandbox",
    "sd",
    "seed",
    "singlestep",
    "spice",
    "tpmdev",
    "trace",
    "virtfs",
    "watchdog",
    "watchdog-action",
    "win2k-hack",
    "xen-attach",
    "xen-domid",
    "xen-domid-restrict",
    "semihosting",
    "semihosting-config",
    "old-param",
    "prom-env",
};

// The options, under the headings of -help.
class Table {
 public:
  Table(SystemOptions& options, std::string& help) : options_(options) {
    auto print_help = [&help](std::string_view) -> Result<> { print_and_exit(help); };
    rows_.push_back({"help", "", "prints this help", print_help});
    rows_.push_back({"h", "", "as -help", print_help});
    add("Standard options", add_machine_options);
    add("Standard options", [](Options& to, SystemOptions& o) { add_audio_options(to, o.audio); });
    add("Block device options", add_storage_options);
    add("USB convenience options", add_usb_options);
    add("Display options", add_display_options);
    add("Network options", add_network_options);
    add("Character device options", add_line_options);
    add("Boot Image or Kernel specific", add_boot_options);
    add("Debug/Expert options", add_monitor_options);
    add("Debug/Expert options", add_run_options);
    add("Generic object creation", add_object_options);
  }
  Options take() { return std::move(rows_); }

 private:
  void add(const char* section, void (*family)(Options&, SystemOptions&)) {
    family(rows_, options_);
    for (Option& row : rows_) {
      if (row.section.empty()) row.section = section;
    }
  }

  SystemOptions& options_;
  Options rows_;
};

}  // namespace

Result<SystemOptions> parse_command_line(std::span<const char* const> arguments) {
  SystemOptions options;
  std::string help;
  // A word that is no option is the first hard disk.
  const auto first_disk = [&options](std::string_view file) -> Result<> {
    config::KeyValues values = {{"index", "0"}, {"media", "disk"}, {"file", std::string(file)}};
    options.storage.drives.push_back({std::string(file), std::move(values)});
    return {};
  };
  config::CommandLine line(Table(options, help).take(), first_disk, kRefused);
  help = version_text() + fmt::format(kUsage, program_name()) + line.help() + kKeys;
  const std::vector<std::string> words = TRY(expand_arguments(arguments));
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  TRY(line.parse(pointers));
  TRY(check_whole(options));
  return options;
}

std::string describe_command_line() {
  SystemOptions options;
  std::string help;
  monitor::Json list = monitor::Json::array();
  for (const Option& option : Table(options, help).take()) {
    monitor::Json parameters = monitor::Json::array();
    for (size_t i = 0; option.schema != nullptr && i < option.schema->properties().size(); ++i) {
      const config::Property& property = option.schema->properties()[i];
      const std::string& type = property.type;
      const char* shown = type == "int"    ? "number"
                          : type == "size" ? "size"
                          : type == "bool" ? "boolean"
                                           : "string";
      parameters.push_back({{"name", property.name}, {"help", property.help}, {"type", shown}});
    }
    list.push_back({{"parameters", std::move(parameters)}, {"option", option.name}});
  }
  return monitor::write_json(list);
}

}  // namespace rhea::system
