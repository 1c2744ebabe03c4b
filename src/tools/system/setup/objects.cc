// -object: secrets and sources of random numbers. (Captures belong to the network.)
#include <map>
#include <memory>

#include "base/failf.h"
#include "block/secrets.h"
#include "devices/virtio/entropy.h"
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

namespace virtio = devices::virtio;

class ObjectSetup final : public Setup {
 public:
  Result<> open(SetupContext& context) override {
    for (const SecretObject& secret : context.options.objects.secrets)
      TRY_IN(block::add_secret(secret.id, secret.values), "-object secret,id=" + secret.id);
    for (const RngObject& rng : context.options.objects.rngs) {
      if (rng.filename.empty()) {
        rngs_[rng.id] = std::make_shared<virtio::BuiltinEntropy>();
      } else {
        rngs_[rng.id] = TRY_IN(virtio::FileEntropy::open(rng.filename, context.vm.loop()),
                               "-object rng-random,id=" + rng.id);
      }
    }
    context.backends.entropy =
        [this](const std::string& id) -> Result<std::shared_ptr<virtio::EntropySource>> {
      const auto at = rngs_.find(id);
      if (at == rngs_.end()) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
      return at->second;
    };
    return {};
  }

 private:
  std::map<std::string, std::shared_ptr<virtio::EntropySource>> rngs_;
};

}  // namespace

std::unique_ptr<Setup> make_object_setup() {
  return std::make_unique<ObjectSetup>();
}

}  // namespace rhea::system
