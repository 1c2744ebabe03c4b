// -accel tcg,deterministic=on: the vCPUs take turns of a fixed number of instructions, and the instructions
// are the guest's time. A turn ends early when its vCPU halts, pauses or asks something of the machine;
// timers fire between turns only. While all are idle, time jumps to the next timer.
//
// What remains outside: input from the host (serial lines, a debugger, signals) comes when it comes.
//
// Threading: each vCPU's thread calls run(); one at a time gets through. The rest may be called from any
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "async/clocks.h"
#include "cpu/engine.h"
#include "machine/state_log.h"

namespace rhea::machine {

class Lockstep {
 public:
  // log: or null.
  Lockstep(async::VirtualClock& clock, std::recursive_mutex& machine_lock, std::unique_ptr<StateLog> log);

  void add(cpu::Core& core) { cores_.push_back(&core); }
  // On the vCPU's thread: waits for its turn and takes it, or part of it. Exit::Kicked when it is over, or at
  // once when `stop` is set (and wake() called).
  cpu::Exit run(cpu::Engine& engine, const std::atomic<bool>& stop);
  void wake();

  // A vCPU asks for something that the main thread carries out: none goes on before that is done.
  void asked();
  uint64_t asks() const { return asks_.load(); }
  void served(uint64_t asks);
  // Only these take turns (a debugger); empty: all. While they stand still.
  void choose(const std::vector<bool>& only);
  // Power-up, while they stand still: the first vCPU begins.
  void reset();

  int64_t now_ns() const;

 private:
  static constexpr uint64_t kTurn = 20'000;

  bool my_turn(unsigned vcpu) const;
  cpu::Exit take_turn(cpu::Engine& engine, const std::atomic<bool>& stop);
  bool run_slice(cpu::Engine& engine, cpu::Exit& exit);
  static bool sleeps(const cpu::Core& core);
  void pass_on();
  template <class Condition>
  void wait_until(Condition condition);
  void let_time_pass(const std::atomic<bool>& stop);
  void run_timers();

  async::VirtualClock& clock_;
  std::recursive_mutex& machine_lock_;
  std::unique_ptr<StateLog> log_;
  std::vector<cpu::Core*> cores_;

  std::atomic<uint32_t> changes_{0};  // what waiting threads sleep on
  std::mutex mutex_;                  // the next three
  unsigned next_ = 0;
  std::vector<bool> absent_;
  uint64_t served_ = 0;
  std::atomic<uint64_t> asks_{0};

  // Of whoever has the turn.
  uint64_t left_ = kTurn;
  unsigned idle_turns_ = 0;
  std::atomic<uint64_t> time_{0};  // between turns
  std::atomic<cpu::Core*> running_{nullptr};
  uint64_t total_ = 0;  // instructions of all vCPUs
};

}  // namespace rhea::machine
