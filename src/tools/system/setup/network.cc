// The network: -netdev, -nic, -net.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class NetworkSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    static_cast<void>(context);
    return {};
  }
};

}  // namespace

std::unique_ptr<Setup> make_network_setup() {
  return std::make_unique<NetworkSetup>();
}

}  // namespace rhea::system
