#include "tools/system/lines.h"

#include "base/failf.h"
#include "machine/firmware/firmware_files.h"
#include "tools/system/setup/viewers.h"

namespace rhea::system {

Lines::Lines(machine::Vm& vm) : all_(vm.loop()) {
  all_.hooks().quit = [&vm] { vm.request_exit(0, machine::Cause::HostUi); };
  all_.set_vc_maker([this](const chardev::ChardevSpec& spec) { return make_console(spec); });
}

Result<std::unique_ptr<chardev::Chardev>> Lines::make_console(const chardev::ChardevSpec& spec) {
  constexpr unsigned kColumns = 80, kRows = 24, kCellWidth = 8, kCellHeight = 16;
  if (!font_) {
    const auto bios = TRY(machine::load_firmware_file("vgabios-stdvga.bin", folders_));
    font_ = devices::find_font(bios);
    if (!font_) return fail(ErrorKind::Unsupported, "vc: the VGA BIOS has no font to write with");
  }
  const unsigned columns = spec.cols.value_or(spec.width.value_or(kColumns * kCellWidth) / kCellWidth);
  const unsigned rows = spec.rows.value_or(spec.height.value_or(kRows * kCellHeight) / kCellHeight);
  if (columns < 2 || rows < 2) return fail(ErrorKind::Invalid, "vc: that is too small for text");
  auto console = std::make_unique<devices::TextConsole>(spec.id, columns, rows, *font_);
  consoles_.push_back(console.get());
  return console;
}

Result<> Lines::open(const SystemOptions& options) {
  folders_ = machine::firmware_folders(options.folders);
  all_.set_stdio_signals(!options.nographic);
  all_.set_escape(options.monitor.escape);
  for (const chardev::ChardevSpec& spec : options.chardevs)
    TRY_IN(all_.add(spec, ""), "-chardev id=" + spec.id);

  std::vector<std::string> serials = options.serials;
  // The terminal with -nographic, shared with the monitor unless that goes elsewhere; otherwise a console of
  // the window, or a port with nothing attached where there is no window; and none with -nodefaults.
  if (serials.empty() && !options.nodefaults) {
    bool shared = !options.monitor.monitor_given;
    const char* without_terminal = will_have_window(options) ? "vc" : "null";
    serials.emplace_back(!options.nographic ? without_terminal : shared ? "mon:stdio" : "stdio");
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
