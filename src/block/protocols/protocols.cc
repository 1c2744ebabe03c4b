#include "block/protocols/protocols.h"

#include "base/failf.h"
#include "block/protocols/http.h"
#include "block/protocols/nbd.h"
#include "block/protocols/null.h"

namespace rhea::block {
namespace {

const char* name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::File: return "file";
    case Protocol::Null: return "null-co";
    case Protocol::Nbd: return "nbd";
    case Protocol::Http: return "http";
  }
  return "";
}

}  // namespace

std::optional<Protocol> protocol_by_driver(std::string_view driver) {
  if (driver == "file" || driver == "host_device") return Protocol::File;
  if (driver == "null-co") return Protocol::Null;
  if (driver == "nbd") return Protocol::Nbd;
  if (driver == "http" || driver == "https") return Protocol::Http;
  return std::nullopt;
}

bool has_protocol(const std::string& filename) {
  const size_t colon = filename.find(':');
  const size_t slash = filename.find('/');
  return colon != std::string::npos && (slash == std::string::npos || colon < slash);
}

Result<Protocol> protocol_of(const std::string& filename) {
  if (!has_protocol(filename)) return Protocol::File;
  const std::string word = filename.substr(0, filename.find(':'));
  if (word == "file" || word == "host_device") return Protocol::File;
  if (filename == "null-co://") return Protocol::Null;
  if (word == "nbd" || word == "nbd+tcp" || word == "nbd+unix") return Protocol::Nbd;
  if (word == "http" || word == "https") return Protocol::Http;
  return failf(ErrorKind::Unsupported, "Unknown protocol '{}'", word);
}

Result<std::unique_ptr<ProtocolNode>> open_remote(Protocol protocol, const std::string& filename,
                                                  config::KeyValues options, const OpenFlags& flags) {
  std::unique_ptr<ProtocolNode> node;
  if (protocol == Protocol::Null) node = TRY(open_null(options));
  if (protocol == Protocol::Nbd) node = TRY(open_nbd(filename, options, flags));
  if (protocol == Protocol::Http) node = TRY(open_http(filename, options, flags));
  if (!options.empty())
    return failf(ErrorKind::Invalid, "Block protocol '{}' doesn't support the option '{}'", name_of(protocol),
                 options.front().key);
  return node;
}

}  // namespace rhea::block
