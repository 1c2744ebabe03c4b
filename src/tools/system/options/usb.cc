#include "tools/system/options/usb.h"

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

struct UsbName {
  std::string_view word;
  const char* driver;
};
constexpr UsbName kNames[] = {{"keyboard", "usb-kbd"}, {"mouse", "usb-mouse"}, {"tablet", "usb-tablet"}};

}  // namespace

void add_usb_options(Options& to, SystemOptions& options) {
  UsbOptions& usb = options.usb;
  to.push_back(flag("usb", "the machine has a USB controller", usb.enabled));
  to.push_back({"usbdevice", "keyboard|mouse|tablet", "a USB device, and the controller for it",
                [&usb](std::string_view text) -> Result<> {
                  for (const UsbName& name : kNames) {
                    if (name.word != text) continue;
                    usb.enabled = true;
                    usb.devices.emplace_back(name.driver);
                    return {};
                  }
                  return failf(ErrorKind::Invalid, "could not add USB device '{}'", text);
                }});
}

}  // namespace rhea::system
