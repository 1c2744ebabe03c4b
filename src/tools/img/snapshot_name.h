// How users name an internal snapshot: an id, a name, or "snapshot.id=ID,snapshot.name=NAME".
#pragma once

#include <string>

#include "block/facets.h"

namespace rhea::img {

// The id of the snapshot meant, or `text` itself where nothing fits (the format then says that there is
// none).
Result<std::string> snapshot_name(const block::SnapshotStore& store, const std::string& text);

}  // namespace rhea::img
