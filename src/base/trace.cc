#include "base/trace.h"

#include <fnmatch.h>

#include <algorithm>
#include <mutex>

#include "base/log.h"

namespace rhea::trace {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<EventBase*> events;
};

// Made on first use and never destroyed: events of other files register and fire in any order.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

}  // namespace

EventBase::EventBase(const char* name, fmt::string_view format) : name_(name), format_(format) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.events.push_back(this);
}

void EventBase::write(fmt::format_args args) const {
  log_line(std::string(name_) + " " + fmt::vformat(format_, args));
}

size_t enable(std::string_view glob) {
  const bool on = !glob.starts_with('-');
  if (!on) glob.remove_prefix(1);
  const std::string pattern(glob);
  size_t matched = 0;
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  for (EventBase* event : r.events) {
    if (::fnmatch(pattern.c_str(), event->name().data(), 0) != 0) continue;
    event->set(on);
    ++matched;
  }
  return matched;
}

std::vector<std::string_view> names() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<std::string_view> out;
  for (const EventBase* event : r.events) out.push_back(event->name());
  std::ranges::sort(out);
  return out;
}

}  // namespace rhea::trace
