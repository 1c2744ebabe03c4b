// Guest memory that the command line describes: memory-backend objects made.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "machine/pc/pc_config.h"
#include "tools/system/options.h"

namespace rhea::system {

using Memories = std::vector<std::shared_ptr<memory::RamBlock>>;

// All of them; that of the machine is config.ram, too. Errors name the object.
Result<Memories> make_memories(const SystemOptions& options, machine::PcConfig& config);

}  // namespace rhea::system
