// Threads for work that would hold up the event loop: compression, checksums, blocking system calls. The work
// runs without the machine lock and must not touch what it guards; the coroutine that waits for it goes on in
// the loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "async/event_loop.h"
#include "async/task.h"

namespace rhea::async {

class WorkerPool {
 public:
  // No thread is started before there is work.
  explicit WorkerPool(unsigned max_threads);
  // Finishes all work that was submitted.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Any thread.
  void submit(std::function<void()> work);

  // co_await pool.run(loop, work): the value of work(), computed by a worker. The loop outlives the work.
  template <class Work, class R = std::invoke_result_t<Work&>>
  Task<R> run(EventLoop& loop, Work work) {
    Handover<Work, R> handover(*this, loop, work);
    co_await handover;
    if constexpr (!std::is_void_v<R>) co_return *std::move(handover.result);
  }

 private:
  struct Nothing {};

  template <class Work, class R>
  struct Handover {
    using Stored = std::conditional_t<std::is_void_v<R>, Nothing, R>;
    Handover(WorkerPool& p, EventLoop& l, Work& w) : pool(p), loop(l), work(w) {}

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
      pool.submit([this, waiter] {
        if constexpr (std::is_void_v<R>) {
          work();
        } else {
          result.emplace(work());
        }
        loop.post([waiter] { waiter.resume(); });
      });
    }
    void await_resume() const noexcept {}

    WorkerPool& pool;
    EventLoop& loop;
    Work& work;
    std::optional<Stored> result;
  };

  void work_until_stopped();

  const unsigned max_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace rhea::async
