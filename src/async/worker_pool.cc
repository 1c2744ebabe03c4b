#include "async/worker_pool.h"

#include <utility>

#include "async/prompt_wakeups.h"
#include "base/check.h"

namespace rhea::async {

WorkerPool::WorkerPool(unsigned max_threads) : max_threads_(max_threads) {
  CHECK(max_threads > 0);
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(!stopping_);
    queue_.push_back(std::move(work));
    if (queue_.size() > idle_ && threads_.size() < max_threads_)
      threads_.emplace_back([this] { work_until_stopped(); });
    if (idle_ == 0) return;
  }
  wake_.notify_one();
}

// A vCPU may be waiting for what a worker does, so it comes before threads that compute.
void WorkerPool::work_until_stopped() {
  ask_for_prompt_wakeups();
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace rhea::async
