// What the machine is looked at and typed into: -display, -vga.
#include "display/input.h"
#include "display/screens.h"
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class DisplaySetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    screens_.emplace(context.vm.loop().monotonic_clock());
    context.backends.screens = &*screens_;
    context.backends.input = &input_;
    add_default_card(context);
    return {};
  }

 private:
  static void add_default_card(SetupContext& context) {
    const std::optional<std::string>& vga = context.options.display.vga;
    const bool replaced = context.has_device({"VGA", "isa-vga", "bochs-display", "ramfb"});
    const bool wanted = vga ? *vga == "std" : !context.options.nodefaults && !replaced;
    if (wanted) context.devices.push_back({"VGA", {}});
  }

  std::optional<display::Screens> screens_;
  display::InputHub input_;
};

}  // namespace

std::unique_ptr<Setup> make_display_setup() {
  return std::make_unique<DisplaySetup>();
}

}  // namespace rhea::system
