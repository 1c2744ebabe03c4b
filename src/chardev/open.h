// From the words of -serial and its like to a back end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "async/event_loop.h"
#include "chardev/chardev.h"

namespace rhea::chardev {

struct OpenContext {
  async::EventLoop& loop;
  std::string label;           // "serial0", for messages
  bool stdio_escapes = false;  // -nographic
  std::function<void()> quit;  // Ctrl-A x
};

// "null", "stdio", "file:PATH", "pty", "tcp:HOST:PORT[,server=on][,wait=off][,nodelay=on]", "unix:PATH[,…]".
// A tcp or unix server waits here for its first client unless told not to.
Result<std::unique_ptr<Chardev>> open_chardev(std::string_view words, const OpenContext& context);

}  // namespace rhea::chardev
