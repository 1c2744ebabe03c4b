// Which protocol a name or a driver stands for, and opening those that are not files of the host.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "block/driver.h"
#include "block/protocols/protocol.h"

namespace rhea::block {

enum class Protocol { File, Null, Nbd, Http };

// "file", "host_device", "null-co", "nbd", "http", "https"; nothing: is no protocol.
std::optional<Protocol> protocol_by_driver(std::string_view driver);
// What a word before the first colon says; "Unknown protocol 'x'".
Result<Protocol> protocol_of(const std::string& filename);
// Whether a word before the first colon could be a protocol's.
bool has_protocol(const std::string& filename);

// `options` are the keys of the protocol, without a prefix; what it does not know is an error.
Result<std::unique_ptr<ProtocolNode>> open_remote(Protocol protocol, const std::string& filename,
                                                  config::KeyValues options, const OpenFlags& flags);

}  // namespace rhea::block
