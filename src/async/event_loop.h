// The event loop of the main thread: file descriptors (epoll), work posted by other threads, timers of the
// three clocks. Everything it calls runs on the thread in run() with the machine lock held; the lock is free
// while it waits.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "async/clocks.h"
#include "base/result.h"

namespace rhea::async {

class EventLoop {
 public:
  using FdHandler = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR

  // A watched descriptor; destroying it ends the watch. Used with the machine lock held or on the loop's
  // thread, destroyed before its descriptor is closed and before the loop.
  class Watch {
   public:
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    // Waits for these events from now on; 0 pauses (a hang-up is still reported).
    void set_events(uint32_t events);

   private:
    friend class EventLoop;
    Watch(EventLoop& loop, uint64_t id) : loop_(loop), id_(id) {}
    EventLoop& loop_;
    uint64_t id_;
  };

  explicit EventLoop(std::recursive_mutex& machine_lock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // A regular file, which epoll refuses, counts as always ready.
  Result<std::unique_ptr<Watch>> watch(int fd, uint32_t events, FdHandler handler);

  // Any thread: runs `work` soon, in the order of posting.
  void post(std::function<void()> work);
  // Any thread: run() returns after what it is doing.
  void stop();
  void run();
  // One turn: waits at most `max_wait_ns` (negative: as long as it takes), then runs what is ready. Returns
  // whether anything ran.
  bool run_once(int64_t max_wait_ns);

  VirtualClock& virtual_clock() { return virtual_clock_; }
  HostClock& host_clock() { return host_clock_; }
  HostClock& monotonic_clock() { return monotonic_clock_; }
  std::recursive_mutex& machine_lock() { return machine_lock_; }

  // Any thread: ends the current wait, so that a new deadline or state is seen.
  void wake_unless_current();

 private:
  struct Entry {
    int fd;
    uint32_t events;
    FdHandler handler;
    bool always_ready;
  };

  void wake();
  void drain_wake();
  int wait(int64_t max_wait_ns, epoll_event* events, int capacity);
  int64_t wait_limit(int64_t max_wait_ns) const;
  bool dispatch(const epoll_event* events, int count);
  bool dispatch_always_ready();
  bool call(uint64_t id, uint32_t events);
  bool run_posted();
  void unwatch(uint64_t id);

  std::recursive_mutex& machine_lock_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::atomic<bool> wake_pending_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<std::thread::id> thread_{};

  std::unordered_map<uint64_t, std::shared_ptr<Entry>> entries_;  // machine lock
  uint64_t next_id_ = 1;
  std::atomic<unsigned> always_ready_count_{0};

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;

  VirtualClock virtual_clock_{*this};
  HostClock host_clock_{*this, CLOCK_REALTIME};
  HostClock monotonic_clock_{*this, CLOCK_MONOTONIC};
};

}  // namespace rhea::async
