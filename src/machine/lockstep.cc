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
  ++changes_;
  changes_.notify_all();
}

// Not a condition variable: glibc 2.36 loses wake-ups of those (its bug 25847) when turns are short.
template <class Condition>
void Lockstep::wait_until(Condition condition) {
  for (;;) {
    uint32_t seen = changes_.load();
    {
      std::scoped_lock hold(mutex_);
      if (condition()) return;
    }
    changes_.wait(seen);
  }
}

void Lockstep::asked() {
  ++asks_;
  // An instruction that asks is the last of its turn; the host may wait.
  cpu::Core* core = running_.load();
  if (has_turn && core != nullptr) core->pending.fetch_or(cpu::pending::kExit);
}

void Lockstep::served(uint64_t asks) {
  {
    std::scoped_lock hold(mutex_);
    served_ = std::max(served_, asks);
  }
  wake();
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
  wait_until([&] { return stop || my_turn(engine.core().index); });
  return stop ? cpu::Exit::Kicked : take_turn(engine, stop);
}

cpu::Exit Lockstep::take_turn(cpu::Engine& engine, const std::atomic<bool>& stop) {
  cpu::Core& core = engine.core();
  cpu::Exit exit = cpu::Exit::Kicked;
  core.idles = false;
  while (left_ != 0 && !sleeps(core)) {
    bool over = run_slice(engine, exit);
    if (over) break;
    if (stop) return exit;  // the rest of the turn comes when it goes on
  }
  idle_turns_ = core.s.halted != 0 || core.idles ? idle_turns_ + 1 : 0;
  run_timers();
  if (idle_turns_ > cores_.size()) let_time_pass(stop);
  pass_on();
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

bool Lockstep::sleeps(const cpu::Core& core) {
  return core.s.halted != 0 && core.pending.load() == 0;
}

// To the next that has something to do, or to the next at all.
void Lockstep::pass_on() {
  {
    std::scoped_lock hold(mutex_);
    left_ = kTurn;
    for (size_t n = 0; n < cores_.size(); ++n) {
      next_ = (next_ + 1) % static_cast<unsigned>(cores_.size());
      if (!absent_.empty() && absent_[next_]) continue;
      if (!sleeps(*cores_[next_])) break;
      ++idle_turns_;
    }
  }
  wake();
}

// Nobody has anything to do: the next timer's time comes at once, or the host has to bring something.
void Lockstep::let_time_pass(const std::atomic<bool>& stop) {
  idle_turns_ = 0;
  if (auto deadline = clock_.next_deadline()) {
    time_ = std::max(time_.load(), static_cast<uint64_t>(std::max<int64_t>(*deadline, 0)));
    run_timers();
    return;
  }
  wait_until([&] { return stop || !std::ranges::all_of(cores_, [](auto* core) { return sleeps(*core); }); });
}

void Lockstep::run_timers() {
  for (cpu::Core* core : cores_)
    core->time_base = time_.load() - core->retired;  // TSC deadlines are looked at
  std::scoped_lock hold(machine_lock_);
  clock_.run_due();
}

}  // namespace rhea::machine
