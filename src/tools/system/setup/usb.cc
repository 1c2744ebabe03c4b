// USB controllers and devices that options other than -device ask for.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class UsbSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    const UsbOptions& usb = context.options.usb;
    if (!usb.enabled && !context.options.machine.usb) return {};
    add_controllers(context);
    for (const std::string& driver : usb.devices) context.devices.push_back({driver, {}});
    return {};
  }

 private:
  // The chipset's own.
  static void add_controllers(SetupContext& context) {
    if (context.options.machine.machine().chipset != machine::Chipset::Q35) {
      context.devices.push_back({"piix3-usb-uhci", {{"addr", "1.2"}}});
      return;
    }
    context.devices.push_back({"ich9-usb-ehci1", {{"addr", "1d.7"}, {"multifunction", "on"}}});
    for (unsigned i = 0; i < 3; ++i) {
      const std::string number = std::to_string(i + 1);
      context.devices.push_back({"ich9-usb-uhci" + number,
                                 {{"addr", "1d." + std::to_string(i)},
                                  {"multifunction", "on"},
                                  {"masterbus", "usb-bus.0"},
                                  {"firstport", std::to_string(2 * i)}}});
    }
  }
};

}  // namespace

std::unique_ptr<Setup> make_usb_setup() {
  return std::make_unique<UsbSetup>();
}

}  // namespace rhea::system
