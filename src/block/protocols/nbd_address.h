// Where an NBD export is: nbd:HOST:PORT[:exportname=E], nbd:unix:PATH[:exportname=E], nbd://HOST[:PORT][/E],
// nbd+tcp://, nbd+unix:///[E]?socket=PATH (the NBD project's URI specification), or the options host, port,
// path, export and server.type, server.host, server.port, server.path.
#pragma once

#include <string>

#include "base/result.h"
#include "config/key_values.h"

namespace rhea::block {

struct NbdAddress {
  std::string path;  // of a Unix socket; empty: TCP
  std::string host;
  std::string port = "10809";
  std::string export_name;

  // As `info` shows it.
  std::string shown() const;
};

// An empty name: only the options count, which are taken out of the list.
Result<NbdAddress> nbd_address(const std::string& filename, config::KeyValues& options);

}  // namespace rhea::block
