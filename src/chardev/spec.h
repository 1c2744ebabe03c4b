// What the user says about a back end, in both spellings: "-chardev BACKEND,id=ID,KEY=VALUE,…" and the short
// one of -serial, -monitor and their like ("tcp:HOST:PORT,server=on").
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "chardev/socket_chardev.h"
#include "config/key_values.h"
#include "config/schema.h"

namespace rhea::chardev {

struct ChardevSpec {
  std::string backend, id;
  std::optional<bool> mux = {};
  std::string logfile = {};
  bool logappend = false;
  std::string path = {};             // file, pipe, socket
  bool append = false;               // file
  std::optional<bool> signal = {};   // stdio
  uint64_t size = 65536;             // ringbuf
  std::string host = {}, port = {};  // socket, udp
  std::string localaddr = {}, localport = {};
  std::optional<bool> ipv4 = {}, ipv6 = {};
  bool server = false, telnet = false, nodelay = false, abstract = false;
  std::optional<bool> wait = {}, tight = {};
  std::optional<unsigned> to = {}, reconnect = {}, fd = {};
  std::optional<unsigned> width = {}, height = {}, cols = {}, rows = {};  // vc
};

// The key "backend" says which other keys there are. Errors are QEMU's words.
Result<ChardevSpec> parse_chardev(config::KeyValues values);
// "null", "stdio", "pty", "vc[:WxH|:CxR]", "file:PATH", "pipe:PATH", "tcp:…", "telnet:…", "unix:…", "udp:…".
// "mon:" before it: shared with a monitor (mux).
Result<ChardevSpec> parse_words(std::string_view words);

// An empty host means any address (server) or this machine (client).
Result<SocketChardev::Options> socket_options(const ChardevSpec& spec);

// The text of `-chardev help`.
std::string chardev_backends_help();
// The text of `-chardev BACKEND,help`. Errors: Invalid.
Result<std::string> chardev_help(const std::string& backend);

}  // namespace rhea::chardev
