#include "machine/lockstep.h"

#include <algorithm>

namespace rhea::machine {

namespace {
thread_local bool has_turn = false;
}

Lockstep::Lockstep(async::VirtualClock& clock, std::recursive_mutex& machine_lock,
                   std::unique_ptr<StateLog> log)
    : clock_(clock), machine_lock_(machine_lock), log_(std::move(log)) {
  clock_.follow([this] { return now_ns(); });
}

int64_t Lockstep::now_ns() const {
  const cpu::Core* core = running_.load(std::memory_order_acquire);
  return static_cast<int64_t>(core != nullptr ? core->counted_time() : time_.load());
}

void Lockstep::wake() {
  std::scoped_lock hold(mutex_);
  ++wakes_;
  changed_.notify_all();
}

void Lockstep::asked() {
  ++asks_;
  // An instruction that asks is the last of its turn; the host may wait.
  cpu::Core* core = running_.load();
  if (has_turn && core != nullptr) core->pending.fetch_or(cpu::pending::kExit);
}

void Lockstep::served(uint64_t asks) {
  std::scoped_lock hold(mutex_);
  served_ = std::max(served_, asks);
  changed_.notify_all();
}

void Lockstep::choose(const std::vector<bool>& only) {
  std::scoped_lock hold(mutex_);
  absent_.assign(cores_.size(), false);
  for (size_t i = 0; i < only.size() && i < absent_.size(); ++i) absent_[i] = !only[i];
  for (size_t n = 0; n < cores_.size() && absent_[next_]; ++n)
    next_ = (next_ + 1) % static_cast<unsigned>(cores_.size());
}

void Lockstep::reset() {
  std::scoped_lock hold(mutex_);
  next_ = 0;
  left_ = kTurn;
  idle_turns_ = 0;
}

bool Lockstep::my_turn(unsigned vcpu) const {
  return next_ == vcpu && served_ >= asks_.load();
}

cpu::Exit Lockstep::run(cpu::Engine& engine, const std::atomic<bool>& stop) {
  {
    std::unique_lock hold(mutex_);
    changed_.wait(hold, [&] { return stop || my_turn(engine.core().index); });
    if (stop) return cpu::Exit::Kicked;
  }
  return take_turn(engine, stop);
}

cpu::Exit Lockstep::take_turn(cpu::Engine& engine, const std::atomic<bool>& stop) {
  cpu::Core& core = engine.core();
  cpu::Exit exit = cpu::Exit::Kicked;
  core.idles = false;
  bool halted = core.s.halted != 0 && core.pending.load() == 0;
  while (!halted && left_ != 0) {
    bool over = run_slice(engine, exit);
    if (over) break;
    if (stop) return exit;  // the rest of the turn comes when it goes on
  }
  end_turn(halted || core.s.halted != 0 || core.idles);
  if (idle_turns_ > cores_.size()) let_time_pass(stop);
  return exit == cpu::Exit::Halted ? cpu::Exit::Kicked : exit;
}

// Up to where somebody wants to look. True: the turn is over.
bool Lockstep::run_slice(cpu::Engine& engine, cpu::Exit& exit) {
  cpu::Core& core = engine.core();
  uint64_t goal = left_;
  if (log_ != nullptr) goal = std::min(goal, log_->next() - total_);
  uint64_t began = core.retired;
  core.time_base = time_.load() - began;
  core.retired_stop = began + goal;
  running_.store(&core, std::memory_order_release);
  has_turn = true;
  exit = engine.run();
  has_turn = false;
  uint64_t done = core.retired - began;
  time_ += done;
  running_.store(nullptr, std::memory_order_release);
  total_ += done;
  left_ -= std::min(left_, done);
  bool gave_way = (core.pending.fetch_and(~cpu::pending::kExit) & cpu::pending::kExit) != 0;
  if (log_ != nullptr && total_ >= log_->next()) log_->write(total_, core.index, cores_);
  return exit != cpu::Exit::Kicked || gave_way || done != goal || left_ == 0;
}

void Lockstep::end_turn(bool idle) {
  run_timers();
  std::scoped_lock hold(mutex_);
  left_ = kTurn;
  idle_turns_ = idle ? idle_turns_ + 1 : 0;
  do {
    next_ = (next_ + 1) % static_cast<unsigned>(cores_.size());
  } while (!absent_.empty() && absent_[next_] && std::ranges::count(absent_, false) != 0);
  changed_.notify_all();
}

// Nobody has anything to do: the next timer's time comes at once, or the host has to bring something.
void Lockstep::let_time_pass(const std::atomic<bool>& stop) {
  idle_turns_ = 0;
  if (auto deadline = clock_.next_deadline()) {
    time_ = std::max(time_.load(), static_cast<uint64_t>(std::max<int64_t>(*deadline, 0)));
    run_timers();
    return;
  }
  std::unique_lock hold(mutex_);
  uint64_t seen = wakes_;
  bool pending = std::ranges::any_of(cores_, [](const cpu::Core* c) { return c->pending.load() != 0; });
  if (!pending) changed_.wait(hold, [&] { return stop || wakes_ != seen; });
}

void Lockstep::run_timers() {
  for (cpu::Core* core : cores_) core->time_base = time_.load() - core->retired;  // TSC deadlines are looked at
  std::scoped_lock hold(machine_lock_);
  clock_.run_due();
}

}  // namespace rhea::machine
