#include "tools/system/lines.h"

#include "base/failf.h"

namespace rhea::system {

Lines::Lines(machine::Vm& vm) : all_(vm.loop()) {
  all_.hooks().quit = [&vm] { vm.request_exit(0, machine::Cause::HostUi); };
}

Result<> Lines::open(const SystemOptions& options) {
  all_.set_stdio_signals(!options.nographic);
  all_.set_escape(options.monitor.escape);
  for (const chardev::ChardevSpec& spec : options.chardevs)
    TRY_IN(all_.add(spec, ""), "-chardev id=" + spec.id);

  std::vector<std::string> serials = options.serials;
  // The terminal with -nographic, shared with the monitor unless that goes elsewhere; otherwise a port with
  // nothing attached, and none with -nodefaults.
  if (serials.empty() && !options.nodefaults) {
    bool shared = !options.monitor.monitor_given;
    serials.emplace_back(!options.nographic ? "null" : shared ? "mon:stdio" : "stdio");
  }
  TRY(open_serial(serials));
  if (options.debugcon && *options.debugcon != "none")
    debugcon_ = TRY_IN(all_.open(*options.debugcon, "debugcon"), "-debugcon " + *options.debugcon);
  return {};
}

Result<> Lines::open_serial(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "none") {
      serial_.emplace_back(std::nullopt);
      continue;
    }
    std::string label = "serial" + std::to_string(i);
    serial_.emplace_back(TRY_IN(all_.open(words[i], label), "-serial " + words[i]));
    if (words[i].starts_with("mon:")) shared_.push_back("chardev:" + label);
  }
  return {};
}

}  // namespace rhea::system
