#include "tools/system/setup/globals.h"

#include <algorithm>

#include "base/failf.h"
#include "config/schema.h"
#include "machine/plug/board_properties.h"
#include "machine/plug/registry.h"

namespace rhea::system {

namespace {

using machine::PcConfig;

// A property of something that the board has without a -device.
struct OwnProperty {
  std::string_view driver, property;
  Result<> (*set)(PcConfig& config, const std::string& value);
};

// Suspend and hibernation are off in any case.
Result<> sleep_is_off(PcConfig&, const std::string& value) {
  if (TRY(config::parse_bool(value == "1" ? "on" : value == "0" ? "off" : value))) return {};
  return fail(ErrorKind::Unsupported, "suspend and hibernation are not supported");
}

Result<> flash_secure(PcConfig& config, const std::string& value) {
  config.flash.secure = TRY(config::parse_bool(value));
  return {};
}

Result<> debugcon_iobase(PcConfig& config, const std::string& value) {
  config.debugcon_port = static_cast<uint16_t>(TRY(config::parse_unsigned(value, 0, 0xffff)));
  return {};
}

Result<> rtc_lost_ticks(PcConfig& config, const std::string& value) {
  if (value != "slew" && value != "discard")
    return failf(ErrorKind::Invalid, "accepted are slew and discard, not '{}'", value);
  config.rtc_slew = value == "slew";
  return {};
}

Result<> extended_tseg(PcConfig& config, const std::string& value) {
  config.extended_tseg_mib = static_cast<uint16_t>(TRY(config::parse_unsigned(value, 0, 0xfff)));
  return {};
}

Result<> watchdog_reboots(PcConfig& config, const std::string& value) {
  config.watchdog_reboots = !TRY(config::parse_bool(value));
  return {};
}

Result<> window64(PcConfig& config, const std::string& value) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  const uint64_t bytes = TRY(config::parse_size_between(value, 1, kGiB, uint64_t{1} << 46));
  config.pci_window64_room = (bytes + kGiB - 1) & ~(kGiB - 1);
  return {};
}

// Of a timer that the host's kernel would emulate and no machine here has: there is nothing to be set, as in
// a machine of QEMU's without KVM. Tools give it to every machine.
Result<> no_pit_in_the_kernel(PcConfig&, const std::string& value) {
  if (value == "discard" || value == "delay") return {};
  return failf(ErrorKind::Invalid, "accepted are discard and delay, not '{}'", value);
}

constexpr OwnProperty kOwn[] = {
    {"PIIX4_PM", "disable_s3", sleep_is_off},
    {"PIIX4_PM", "disable_s4", sleep_is_off},
    {"ICH9-LPC", "disable_s3", sleep_is_off},
    {"ICH9-LPC", "disable_s4", sleep_is_off},
    {"ICH9-LPC", "noreboot", watchdog_reboots},
    {"cfi.pflash01", "secure", flash_secure},
    {"i440FX-pcihost", "pci-hole64-size", window64},
    {"isa-debugcon", "iobase", debugcon_iobase},
    {"kvm-pit", "lost_tick_policy", no_pit_in_the_kernel},
    {"mc146818rtc", "lost_tick_policy", rtc_lost_ticks},
    {"mch", "extended-tseg-mbytes", extended_tseg},
    {"q35-pcihost", "pci-hole64-size", window64},
};

static_assert(std::ranges::all_of(kOwn, [](const OwnProperty& own) {
  return std::ranges::any_of(machine::kBoardProperties, [&](const machine::BoardProperty& listed) {
    return listed.driver == own.driver && listed.property == own.property;
  });
}));

// Of devices that are plugged in: in front of what each was given, which wins.
bool give_to_devices(const GlobalOption& global, PcConfig& config) {
  const auto help = machine::device_help(global.driver);
  const bool known = help && help->find("\n  " + global.property + "=<") != std::string::npos;
  for (machine::DeviceRequest& request : config.devices) {
    if (!known || request.driver != global.driver) continue;
    const bool given =
        std::ranges::any_of(request.values, [&](const auto& v) { return v.key == global.property; });
    if (!given) request.values.insert(request.values.begin(), {global.property, global.value});
  }
  return known;
}

}  // namespace

Result<> apply_globals(const std::vector<GlobalOption>& globals, machine::PcConfig& config) {
  // The last of several for one property wins, and is the first to be given.
  for (auto global = globals.rbegin(); global != globals.rend(); ++global) {
    const std::string name = "-global " + global->driver + "." + global->property;
    bool known = give_to_devices(*global, config);
    const bool last = std::none_of(globals.rbegin(), global, [&](const GlobalOption& later) {
      return later.driver == global->driver && later.property == global->property;
    });
    for (const OwnProperty& own : kOwn) {
      if (own.driver != global->driver || own.property != global->property) continue;
      known = true;
      if (last) TRY_IN(own.set(config, global->value), name);
    }
    if (!known) return failf(ErrorKind::NotFound, "{}: there is no such driver or property", name);
  }
  return {};
}

}  // namespace rhea::system
