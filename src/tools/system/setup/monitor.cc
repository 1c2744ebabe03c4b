// Who talks to the emulator itself: -monitor, -qmp.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class MonitorSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    static_cast<void>(context);
    return {};
  }
};

}  // namespace

std::unique_ptr<Setup> make_monitor_setup() {
  return std::make_unique<MonitorSetup>();
}

}  // namespace rhea::system
