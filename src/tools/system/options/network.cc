#include "tools/system/options/network.h"

#include "tools/system/options.h"

namespace rhea::system {

void add_network_options(Options& to, SystemOptions& options) {
  static_cast<void>(options);
  to.push_back(only_none("net", "network"));
  to.push_back(only_none("nic", "network card"));
}

}  // namespace rhea::system
