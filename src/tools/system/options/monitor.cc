#include "tools/system/options/monitor.h"

#include <algorithm>

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

constexpr const char* kWords =
    "none|null|vc|stdio|pty|file:PATH|pipe:PATH|tcp:HOST:PORT|telnet:HOST:PORT|unix:PATH|udp:HOST:PORT|"
    "chardev:ID|mon:…";

struct MonKeys {
  std::string id, chardev, mode = "readline";
  std::optional<bool> pretty;
};

const config::Group<MonKeys>& mon_group() {
  static const config::Group<MonKeys> group{
      "mon",
      "chardev",
      {
          config::text("id", &MonKeys::id, "name, of which there is one each"),
          config::text("chardev", &MonKeys::chardev, "id of the character back end"),
          config::text("mode", &MonKeys::mode, "readline for people, control for programs (QMP)"),
          config::boolean("pretty", &MonKeys::pretty, "control: JSON in many lines"),
      }};
  return group;
}

Result<> take_mon(SystemOptions& o, std::string_view text) {
  MonKeys keys = TRY(mon_group().parse(text));
  if (keys.chardev.empty()) return fail(ErrorKind::Invalid, "Parameter 'chardev' is missing");
  if (keys.mode != "readline" && keys.mode != "control")
    return failf(ErrorKind::Invalid, "unknown monitor mode \"{}\"", keys.mode);
  const auto same_id = [&keys](const MonRequest& other) { return !keys.id.empty() && other.id == keys.id; };
  if (std::ranges::any_of(o.monitor.monitors, same_id))
    return failf(ErrorKind::Invalid, "Duplicate ID '{}' for mon", keys.id);
  bool control = keys.mode == "control";
  if (!control && keys.pretty.value_or(false))
    return fail(ErrorKind::Invalid, "'pretty' is not compatible with HMP monitors");
  o.monitor.monitor_given = o.monitor.monitor_given || !control;
  o.monitor.monitors.push_back({"-mon chardev=" + keys.chardev, "chardev:" + keys.chardev, control,
                                keys.pretty.value_or(false), keys.id});
  return {};
}

Option monitor_option(std::string name, std::string help, bool control, bool pretty, SystemOptions& o) {
  return {name, kWords, std::move(help), [name, control, pretty, &o](std::string_view text) -> Result<> {
            if (!control) o.monitor.monitor_given = true;
            if (text != "none")
              o.monitor.monitors.push_back(
                  {"-" + name + " " + std::string(text), std::string(text), control, pretty});
            return {};
          }};
}

Result<> take_chardev(SystemOptions& o, std::string_view text) {
  config::KeyValues values = TRY(config::split_options(text, "backend"));
  auto backend = std::ranges::find(values, "backend", &config::KeyValue::key);
  if (backend != values.end() && backend->value == "help") print_and_exit(chardev::chardev_backends_help());
  if (config::asks_for_help(text) && backend != values.end()) {
    std::string help = TRY(chardev::chardev_help(backend->value.value_or("")));
    print_and_exit(help);
  }
  chardev::ChardevSpec spec = TRY(chardev::parse_chardev(std::move(values)));
  if (std::ranges::find(o.chardevs, spec.id, &chardev::ChardevSpec::id) != o.chardevs.end())
    return failf(ErrorKind::Invalid, "Duplicate ID '{}' for chardev", spec.id);
  o.chardevs.push_back(std::move(spec));
  return {};
}

void add_line_options(Options& to, SystemOptions& o) {
  to.push_back(
      {"serial", kWords, "where the next serial port leads", [&o](std::string_view text) -> Result<> {
         if (o.serials.size() == 4) return fail(ErrorKind::OutOfRange, "too many serial ports");
         o.serials.emplace_back(text);
         return {};
       }});
  to.push_back(
      {"parallel", kWords, "where the next parallel port leads", [&o](std::string_view text) -> Result<> {
         if (o.monitor.parallels.size() == 3) return fail(ErrorKind::OutOfRange, "too many parallel ports");
         o.monitor.parallels.emplace_back(text);
         return {};
       }});
  to.push_back({"debugcon", "as -serial",
                "where the firmware's debug port leads (0xe9, -global isa-debugcon.iobase=)",
                [&o](std::string_view text) -> Result<> {
                  o.debugcon = text;
                  return {};
                }});
  to.push_back(
      {"chardev", "BACKEND,id=ID[,…]",
       "a character back end for a device; -chardev help lists them, -chardev BACKEND,help their keys",
       [&o](std::string_view text) { return take_chardev(o, text); }});
  to.push_back({"echr", "N", "the character code of the prefix that Ctrl-A is otherwise",
                [&o](std::string_view text) -> Result<> {
                  o.monitor.escape = static_cast<uint8_t>(TRY(config::parse_unsigned(text, 0, 255)));
                  return {};
                }});
}

}  // namespace

void add_monitor_options(Options& to, SystemOptions& o) {
  add_line_options(to, o);
  to.push_back(monitor_option("monitor", "where the monitor for people leads", false, false, o));
  to.push_back(monitor_option("qmp", "where the monitor for programs leads", true, false, o));
  to.push_back(monitor_option("qmp-pretty", "as -qmp, with JSON in many lines", true, true, o));
  to.push_back(grouped("mon", "[chardev=]ID[,mode=readline|control][,pretty=on|off][,id=ID]",
                       "a monitor on a character back end", mon_group(),
                       [&o](std::string_view text) { return take_mon(o, text); }));
  to.push_back(word("pidfile", "FILE", "the process's number is written there", o.monitor.pidfile));
  to.push_back(flag("daemonize", "goes into the background once everything is set up", o.monitor.daemonize));
}

Result<> check_monitor_options(const SystemOptions& o) {
  if (!o.monitor.daemonize) return {};
  // With -nodefaults nothing is on the terminal.
  if (o.nographic && !o.nodefaults)
    return fail(ErrorKind::Invalid, "-nographic cannot be used with -daemonize");
  auto uses_stdio = [](const std::string& words) { return words == "stdio" || words == "mon:stdio"; };
  bool stdio = std::ranges::any_of(o.serials, uses_stdio) ||
               std::ranges::any_of(o.monitor.parallels, uses_stdio) ||
               std::ranges::any_of(o.monitor.monitors, uses_stdio, &MonRequest::words) ||
               std::ranges::find(o.chardevs, "stdio", &chardev::ChardevSpec::backend) != o.chardevs.end() ||
               o.debugcon == "stdio";
  if (stdio) return fail(ErrorKind::Invalid, "cannot use stdio with -daemonize");
  return {};
}

}  // namespace rhea::system
