// What the machine is looked at and typed into: -display, -vga, -vnc.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class DisplaySetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    static_cast<void>(context);
    return {};
  }
};

}  // namespace

std::unique_ptr<Setup> make_display_setup() {
  return std::make_unique<DisplaySetup>();
}

}  // namespace rhea::system
