// Task<T>: a coroutine that starts when it is awaited and gives its awaiter a T. Move-only, awaited once.
// Errors are values (Task<Result<T>>); an exception that leaves a coroutine ends the process.
//
// A task runs on the thread that awaits it and goes on where what it waits for resumes it: on the event
// loop's thread for everything in this folder. A child that never suspends returns straight into its parent,
// so that a long loop of such children does not deepen the stack, whatever the optimisation level.
//
// g++ 12 destroys some temporaries of a co_await expression twice (lambdas with captures, aggregates, brace
// lists): name the object first, then `co_await f(std::move(name))`. tests/lint checks it.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace rhea::async {

template <class T>
class Task;

namespace detail {

class PromiseBase {
 public:
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      // The parent may destroy this frame once it runs, so nothing here is touched after the exchange or
      // resume.
      PromiseBase& promise = handle.promise();
      const std::coroutine_handle<> parent = promise.parent_;
      if (promise.rendezvous_.exchange(true, std::memory_order_acq_rel)) parent.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

  void set_parent(std::coroutine_handle<> parent) { parent_ = parent; }
  // Called by parent and child once each; true for the one that comes second.
  bool second_to_arrive() { return rendezvous_.exchange(true, std::memory_order_acq_rel); }

 private:
  std::coroutine_handle<> parent_;
  std::atomic<bool> rendezvous_{false};
};

template <class T>
class Promise final : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <class V>
  void return_value(V&& value) {
    value_.emplace(std::forward<V>(value));
  }
  T take() { return *std::move(value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() const {}
  void take() const {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    Handle child;
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> parent) const {
      child.promise().set_parent(parent);
      child.resume();
      return !child.promise().second_to_arrive();
    }
    T await_resume() const { return child.promise().take(); }
  };
  Awaiter operator co_await() const {
    CHECK(handle_ != nullptr);
    return Awaiter{handle_};
  }

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

namespace detail {

// A coroutine that owns itself: its frame ends with it.
struct Detached {
  struct promise_type {
    Detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

template <class T, class Done>
Detached start_detached(Task<T> task, Done done) {
  if constexpr (std::is_void_v<T>) {
    co_await task;
    done();
  } else {
    T value = co_await task;
    done(std::move(value));
  }
}

}  // namespace detail

// Runs a task from ordinary code: up to its first wait now, the rest as it goes. `done` gets its value at the
// end.
template <class T, class Done>
void start(Task<T> task, Done done) {
  detail::start_detached(std::move(task), std::move(done));
}

}  // namespace rhea::async
