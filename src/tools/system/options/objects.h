// -object: things that devices and back ends refer to by id.
#pragma once

#include <string>
#include <vector>

#include "config/key_values.h"
#include "tools/system/options/memory_objects.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct RngObject {
  std::string id;
  std::string filename;  // empty: the host's kernel (rng-builtin)
};
struct SecretObject {
  std::string id;
  config::KeyValues values;
};

struct ObjectOptions {
  std::vector<MemoryObject> memories;
  std::vector<RngObject> rngs;
  std::vector<SecretObject> secrets;
};

void add_object_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
