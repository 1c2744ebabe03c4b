// All drives of a VM, by id, and the threads that their requests run on. Machine lock held.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "async/event_loop.h"
#include "async/worker_pool.h"
#include "base/access_scope.h"
#include "block/drive/drive.h"

namespace rhea::block {

// How many images are being closed: until then they keep their locks. Any thread.
class Closings {
 public:
  void begin() { ++count_; }
  void end() {
    --count_;
    count_.notify_all();
  }
  void wait() const {
    for (unsigned left = count_; left != 0; left = count_) count_.wait(left);
  }

 private:
  std::atomic<unsigned> count_ = 0;
};

class Drives : private AccessScope::Owed {
 public:
  struct Wiring {
    async::EventLoop& loop;
    async::Clock& clock;  // for throttles: stops with the VM
    DriveHost* host = nullptr;
  };
  explicit Drives(const Wiring& wiring);
  // Waits for all requests and closes all images.
  ~Drives() override;
  Drives(const Drives&) = delete;
  Drives& operator=(const Drives&) = delete;

  void set_host(DriveHost* host) { wiring_.host = host; }

  // Error: the id is taken.
  Result<Drive*> add(DriveConfig config, Medium medium);
  // Null: there is none. Finds node-names too.
  Drive* find(std::string_view id) const;
  // In the order of adding.
  const std::vector<std::unique_ptr<Drive>>& all() const { return drives_; }
  // It has no device. Its image is closed.
  void remove(Drive& drive);

  // Requests may end on any thread that has the machine lock, where that is sooner than in the loop: on a
  // worker's, on a vCPU's that leaves a device. While a machine runs.
  void end_anywhere(bool on) { anywhere_ = on; }
  // For who wants to open an image that has been in a drive.
  std::shared_ptr<const Closings> closings() const { return closings_; }

  // The VM goes on: what failed is tried again.
  void resume();
  // Blocks (workers need no machine lock): until nothing is under way, Done's of what ended are called here.
  // For `stop`, `quit`, `commit`.
  void wait_idle();
  // wait_idle(), then writes back and closes every image; the first error is returned, all are tried. Nothing
  // but the destructor is called afterwards.
  Result<> close_all();

 private:
  friend class Drive;

  // Runs `work` on a worker, if there is any, and `then` with the machine lock: from the loop, from
  // wait_idle() or, while requests end anywhere, where that is soonest.
  void run(std::function<void()> work, std::function<void()> then);
  bool completed(std::function<void()> then);
  void post_completed();
  bool complete_here();
  void access_left() override;
  void end_completed(int rounds);
  void run_completed();
  void drop_removed();

  Wiring wiring_;
  std::vector<std::unique_ptr<Drive>> drives_;
  std::vector<std::unique_ptr<Drive>> removed_;  // until their last request is back
  unsigned next_node_ = 100;                     // for nodes without a name
  size_t running_ = 0;                           // given to run() and not back

  std::mutex completed_mutex_;
  std::condition_variable completed_wake_;
  std::vector<std::function<void()>> completed_;
  bool told_ = false;                  // somebody is about to end what is in there
  std::atomic<bool> anywhere_{false};  // changed with the machine lock held

  std::shared_ptr<Closings> closings_ = std::make_shared<Closings>();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  async::WorkerPool pool_;  // last: its threads end before the rest goes
};

}  // namespace rhea::block
