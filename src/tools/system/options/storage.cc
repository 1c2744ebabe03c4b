#include "tools/system/options/storage.h"

#include "tools/system/options.h"

namespace rhea::system {

void add_storage_options(Options& to, SystemOptions& options) {
  static_cast<void>(options);
  static_cast<void>(to);
}

}  // namespace rhea::system
