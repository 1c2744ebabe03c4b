// Trace events: declared one a line near the code that fires them, one load and a branch while off, chosen by
// glob
// (`-trace 'ahci_*'`), written to the log.
//
//     inline trace::Event<unsigned, uint8_t> trace_ahci_command{"ahci_command", "port {} opcode {:#04x}"};
//     …
//     trace_ahci_command(port, opcode);
//
// Events register themselves before main and live as long as the process. Firing is safe from any thread.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rhea::trace {

class EventBase {
 public:
  EventBase(const EventBase&) = delete;
  EventBase& operator=(const EventBase&) = delete;
  std::string_view name() const { return name_; }
  bool on() const { return on_.load(std::memory_order_relaxed); }
  void set(bool on) { on_.store(on, std::memory_order_relaxed); }

 protected:
  EventBase(const char* name, fmt::string_view format);
  ~EventBase() = default;
  void write(fmt::format_args args) const;

 private:
  const char* name_;
  fmt::string_view format_;
  std::atomic<bool> on_{false};
};

template <class... Args>
class Event : public EventBase {
 public:
  Event(const char* name, fmt::format_string<Args...> format) : EventBase(name, format) {}
  void operator()(std::type_identity_t<Args>... args) const {
    if (on()) [[unlikely]]
      write(fmt::make_format_args(args...));
  }
};

// Switches every event whose name matches the glob on, or off if the glob begins with '-'. Returns how many
// matched.
size_t enable(std::string_view glob);
// The names of all events, sorted.
std::vector<std::string_view> names();

}  // namespace rhea::trace
