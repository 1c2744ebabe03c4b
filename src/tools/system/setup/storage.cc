// Disks: -drive, -blockdev, -hda and its kin.
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

class StorageSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    static_cast<void>(context);
    return {};
  }
};

}  // namespace

std::unique_ptr<Setup> make_storage_setup() {
  return std::make_unique<StorageSetup>();
}

}  // namespace rhea::system
