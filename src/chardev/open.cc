#include "chardev/open.h"

#include <cstdio>

#include "base/failf.h"
#include "chardev/file_chardev.h"
#include "chardev/null_chardev.h"
#include "chardev/pty_chardev.h"
#include "chardev/socket_chardev.h"
#include "chardev/socket_words.h"
#include "chardev/stdio_chardev.h"

namespace rhea::chardev {

namespace {

bool stdio_taken = false;

Result<std::unique_ptr<Chardev>> open_stdio(const OpenContext& context) {
  if (stdio_taken) return fail(ErrorKind::Busy, "cannot use stdio by multiple character devices");
  auto opened =
      TRY(StdioChardev::create(context.loop, {.escapes = context.stdio_escapes, .quit = context.quit}));
  stdio_taken = true;
  return opened;
}

Result<std::unique_ptr<Chardev>> open_pty(const OpenContext& context) {
  auto opened = TRY(PtyChardev::create(context.loop));
  std::printf("char device redirected to %s (label %s)\n", opened->terminal().c_str(), context.label.c_str());
  std::fflush(stdout);
  return opened;
}

Result<std::unique_ptr<Chardev>> open_socket(std::string_view words, const OpenContext& context) {
  return SocketChardev::create(context.loop, TRY(parse_socket_words(words)));
}

}  // namespace

Result<std::unique_ptr<Chardev>> open_chardev(std::string_view words, const OpenContext& context) {
  if (words == "null") return std::make_unique<NullChardev>();
  if (words == "stdio") return open_stdio(context);
  if (words == "pty") return open_pty(context);
  if (words.starts_with("file:")) {
    std::string path(words.substr(5));
    if (path.empty()) return fail(ErrorKind::Invalid, "'file:' needs a path");
    return FileChardev::create(context.loop, path);
  }
  if (words.starts_with("tcp:") || words.starts_with("unix:")) return open_socket(words, context);
  if (words.starts_with("mon:")) {
    return failf(ErrorKind::Unsupported, "'{}' is not supported: there is no monitor to share the line with",
                 words);
  }
  return failf(
      ErrorKind::Invalid,
      "'{}' is not a character device; accepted: none, null, stdio, pty, file:PATH, tcp:HOST:PORT, unix:PATH",
      words);
}

}  // namespace rhea::chardev
