// What the machine is looked at and typed into: screens and input, and the viewers of -display and -vnc.
#include <algorithm>
#include <mutex>
#include <optional>

#include "base/log.h"
#include "display/input.h"
#include "display/screens.h"
#include "monitor/vnc_events.h"
#include "tools/system/setup/setup.h"
#include "tools/system/setup/viewers.h"
#include "tools/system/setup/vnc.h"

namespace rhea::system {
namespace {

class DisplaySetup final : public Setup, private machine::RunListener {
 public:
  ~DisplaySetup() override {
    if (vm_ == nullptr) return;
    const std::lock_guard guard(vm_->lock());
    vm_->remove_listener(*this);
    viewers_.reset();
    vnc_.reset();
    screens_.reset();
  }

  Result<> open(SetupContext& context) override {
    options_ = &context.options;
    vm_ = &context.vm;
    lines_ = &context.lines;
    const std::lock_guard guard(vm_->lock());
    screens_.emplace(vm_->loop().monotonic_clock());
    vnc_.emplace(vm_->loop(), *screens_, input_);
    viewers_.emplace(*vm_, *screens_, input_);
    context.backends.screens = &*screens_;
    context.backends.input = &input_;
    context.monitor.vnc = &vnc_->servers();
    monitor::forward_vnc_events(vnc_->servers(), context.monitor);
    vm_->add_listener(*this);
    add_default_card(context);
    return {};
  }

  Result<> board_made(machine::Vm&, machine::PcBoard& board) override {
    const DisplayOptions& display = options_->display;
    const std::string& name = options_->name.guest;
    add_consoles();
    vnc_->set_sounds(board.site().backends().audiodev);
    TRY(vnc_->open(display.vnc, name));
    if (!wants_viewer(*options_)) return {};
    const bool looked_at = TRY(viewers_->open(display.viewer, name, display.vnc.keymap));
    // Without room for it the machine is still of use.
    if (looked_at) return {};
    if (auto opened = vnc_->open_default(display.vnc, name); !opened)
      log_warn("{}", opened.error().message());
    return {};
  }

 private:
  static void add_default_card(SetupContext& context) {
    const std::optional<std::string>& vga = context.options.display.vga;
    const bool replaced = context.has_device({"VGA", "isa-vga", "bochs-display", "ramfb"});
    const bool wanted = vga ? *vga == "std" : !context.options.nodefaults && !replaced;
    const bool pci = context.options.machine.machine().has_pci();
    if (wanted) context.devices.push_back({pci ? "VGA" : "isa-vga", {}});
  }

  // Monitors first, as people look for them.
  void add_consoles() {
    std::vector<devices::TextConsole*> consoles = lines_->consoles();
    std::ranges::stable_partition(consoles, [](const devices::TextConsole* console) {
      return console->label().starts_with("compat_monitor");
    });
    for (devices::TextConsole* console : consoles)
      console->show_on(&screens_->add(console->label(), console->label()));
  }

  // A machine that stands still does not hear its keyboard.
  void state_changed(machine::RunState, machine::RunState to) override {
    const bool running = to == machine::RunState::Running;
    input_.set_running(running);
    viewers_->set_running(running);
  }

  const SystemOptions* options_ = nullptr;
  machine::Vm* vm_ = nullptr;
  Lines* lines_ = nullptr;
  display::InputHub input_;
  std::optional<display::Screens> screens_;
  std::optional<VncServers> vnc_;
  std::optional<Viewers> viewers_;
};

}  // namespace

std::unique_ptr<Setup> make_display_setup() {
  return std::make_unique<DisplaySetup>();
}

}  // namespace rhea::system
