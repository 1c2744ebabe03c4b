// Running a task to its end from ordinary code, for programs and tests: turns the event loop until it is
// done.
#pragma once

#include <optional>
#include <utility>

#include "async/event_loop.h"
#include "async/task.h"

namespace rhea::async {

// On the thread of the loop, outside of its callbacks.
template <class T>
T run(EventLoop& loop, Task<T> task) {
  std::optional<T> result;
  {
    const std::lock_guard machine(loop.machine_lock());
    start(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
  }
  while (!result) loop.run_once(-1);
  return *std::move(result);
}

inline void run(EventLoop& loop, Task<void> task) {
  bool finished = false;
  {
    const std::lock_guard machine(loop.machine_lock());
    start(std::move(task), [&finished] { finished = true; });
  }
  while (!finished) loop.run_once(-1);
}

}  // namespace rhea::async
