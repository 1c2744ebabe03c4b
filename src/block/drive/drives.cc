// See drives.h.
#include "block/drive/drives.h"

#include <immintrin.h>

#include <algorithm>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::block {
namespace {

// As many requests reach the host at once; QEMU's thread pool has as many.
constexpr unsigned kThreads = 64;
// How often a vCPU or a worker looks for more to end.
constexpr int kRounds = 8;
// Some ten microseconds.
constexpr int kTries = 1000;

}  // namespace

Drives::Drives(const Wiring& wiring) : wiring_(wiring), pool_(kThreads) {}

Drives::~Drives() {
  if (const auto closed = close_all(); !closed) log_error("{}", closed.error().message());
  *alive_ = false;
}

Result<Drive*> Drives::add(DriveConfig config, Medium medium) {
  const auto same = [&config](const auto& drive) { return !config.id.empty() && drive->id() == config.id; };
  if (std::ranges::any_of(drives_, same) || find(config.id) != nullptr ||
      (!config.node_name.empty() && find(config.node_name) != nullptr))
    return failf(ErrorKind::Busy, "Device with id '{}' already exists", config.id);
  drives_.push_back(std::make_unique<Drive>(*this, std::move(config), std::move(medium)));
  return drives_.back().get();
}

Drive* Drives::find(std::string_view id) const {
  if (id.empty()) return nullptr;
  for (const auto& drive : drives_) {
    if (drive->abandoned()) continue;
    if (drive->id() == id || drive->config().node_name == id) return drive.get();
  }
  return nullptr;
}

void Drives::remove(Drive& drive) {
  drive.detach();
  drive.remove_medium();
  for (auto at = drives_.begin(); at != drives_.end(); ++at) {
    if (at->get() != &drive) continue;
    removed_.push_back(std::move(*at));
    drives_.erase(at);
    break;
  }
  drop_removed();
}

// A drive is needed until its last request has come back.
void Drives::drop_removed() {
  std::erase_if(removed_, [](const auto& drive) { return drive->in_flight() == 0 && !drive->quiet_; });
}

void Drives::resume() {
  for (const auto& drive : drives_) drive->resume();
}

void Drives::run(std::function<void()> work, std::function<void()> then) {
  running_++;
  if (!work) {
    if (completed(std::move(then)) && (!anywhere_ || !AccessScope::owe(*this))) post_completed();
    return;
  }
  pool_.submit([this, work = std::move(work), then = std::move(then)]() mutable {
    work();
    if (completed(std::move(then)) && !complete_here()) post_completed();
  });
}

// Any thread. True: nobody else is about to end it.
bool Drives::completed(std::function<void()> then) {
  const std::lock_guard guard(completed_mutex_);
  completed_.push_back(std::move(then));
  completed_wake_.notify_one();
  return !std::exchange(told_, true);
}

void Drives::post_completed() {
  wiring_.loop.post([this, alive = std::weak_ptr(alive_)] {
    if (alive.lock()) end_completed(1);
  });
}

// A worker, which holds no lock: the loop, which may take long to get a processor, need not do it. It may not
// wait for the lock, which the one that waits for the worker may hold, but a vCPU is about to let go of it.
bool Drives::complete_here() {
  if (!anywhere_) return false;
  std::unique_lock machine(wiring_.loop.machine_lock(), std::try_to_lock);
  for (int i = 0; i < kTries && !machine.owns_lock(); ++i) {
    _mm_pause();
    if (i % 16 == 0) static_cast<void>(machine.try_lock());
  }
  if (!machine.owns_lock() || !anywhere_) return false;
  end_completed(kRounds);
  return true;
}

// A vCPU has just left a device.
void Drives::access_left() {
  const std::lock_guard machine(wiring_.loop.machine_lock());
  end_completed(anywhere_ ? kRounds : 0);
}

// By whom completed() told. What the requests ask for in turn (the next piece of a long transfer) is done
// here too, but not forever: the guest wants to go on.
void Drives::end_completed(int rounds) {
  for (int i = 0; i < rounds; ++i) run_completed();
  {
    const std::lock_guard guard(completed_mutex_);
    told_ = !completed_.empty();
    if (!told_) return;
  }
  post_completed();
}

void Drives::run_completed() {
  std::vector<std::function<void()>> now;
  {
    const std::lock_guard guard(completed_mutex_);
    now.swap(completed_);
  }
  for (const auto& then : now) {
    running_--;
    then();
  }
  if (!removed_.empty()) drop_removed();
}

void Drives::wait_idle() {
  while (running_ != 0) {
    {
      std::unique_lock lock(completed_mutex_);
      completed_wake_.wait(lock, [this] { return !completed_.empty(); });
    }
    run_completed();
  }
}

Result<> Drives::close_all() {
  for (const auto& drive : drives_) drive->cancel_all();
  wait_idle();
  Result<> first;
  for (const auto& drive : drives_) {
    if (!drive->inserted()) continue;
    auto closed = drive->medium().image->close();
    if (!closed && first)
      first = std::unexpected(std::move(closed).error().in(fmt::format("drive {}", drive->id())));
    drive->medium_ = {};
    drive->size_ = 0;
  }
  removed_.clear();
  return first;
}

}  // namespace rhea::block
