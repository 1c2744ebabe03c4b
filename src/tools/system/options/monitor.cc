#include "tools/system/options/monitor.h"

#include "tools/system/options.h"

namespace rhea::system {

void add_monitor_options(Options& to, SystemOptions& options) {
  static_cast<void>(options);
  to.push_back(only_none("monitor", "monitor"));
  to.push_back(only_none("parallel", "parallel port"));
}

}  // namespace rhea::system
