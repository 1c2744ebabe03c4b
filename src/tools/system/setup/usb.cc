// USB controllers and devices that options other than -device ask for.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class UsbSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    const UsbOptions& usb = context.options.usb;
    if (!usb.enabled) return {};
    context.devices.push_back({"piix3-usb-uhci", {{"addr", "1.2"}}});
    for (const std::string& driver : usb.devices) context.devices.push_back({driver, {}});
    return {};
  }
};

}  // namespace

std::unique_ptr<Setup> make_usb_setup() {
  return std::make_unique<UsbSetup>();
}

}  // namespace rhea::system
