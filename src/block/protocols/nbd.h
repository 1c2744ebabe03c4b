// Protocol "nbd": an export of an NBD server. Names: nbd_address.h. Any thread.
#pragma once

#include <memory>

#include "block/driver.h"
#include "block/protocols/nbd_link.h"
#include "block/protocols/protocol.h"

namespace rhea::block {

// What `link` leads to.
std::unique_ptr<ProtocolNode> nbd_node(std::string name, std::unique_ptr<NbdLink> link,
                                       const OpenFlags& flags);

// Takes its options out of `options`.
Result<std::unique_ptr<ProtocolNode>> open_nbd(const std::string& filename, config::KeyValues& options,
                                               const OpenFlags& flags);

}  // namespace rhea::block
