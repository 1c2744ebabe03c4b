// Protocols "http" and "https": a file of a web server that knows byte ranges, read-only. Options: url,
// readahead, sslverify, timeout, cookie, cookie-secret, username, password-secret, proxy-username,
// proxy-password-secret. Any thread.
#pragma once

#include <memory>

#include "block/driver.h"
#include "block/protocols/protocol.h"

namespace rhea::block {

// Takes its options out of `options`.
Result<std::unique_ptr<ProtocolNode>> open_http(const std::string& filename, config::KeyValues& options,
                                                const OpenFlags& flags);

}  // namespace rhea::block
