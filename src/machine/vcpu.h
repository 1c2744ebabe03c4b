// A vCPU's thread: runs its engine, sleeps while halted, stands still while the machine is stopped.
//
// Threading: the owner (Vm) calls everything from the main thread, without the machine lock where it waits,
// except kick(), which any thread may call. A thread that stands still runs what call() hands it, so that the
// engine is only ever used on its own thread.
#pragma once

#include <time.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cpu/engine.h"
#include "machine/lockstep.h"
#include "machine/turns.h"

namespace rhea::machine {

// The core of the vCPU whose thread this is; null on other threads. What it keeps of its registers is up to
// date in the middle of an access to a device only with the translator.
cpu::Core* current_core();

class Vcpu {
 public:
  // Told, on the vCPU's thread, of what ends a run. The vCPU then stands still until resume().
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void triple_fault(Vcpu& vcpu) = 0;
    virtual void debug_stop(Vcpu& vcpu) = 0;
  };

  // turns: null, or shared by vCPUs that do not run in parallel. lockstep: null, or what decides who runs in
  // a deterministic machine.
  Vcpu(std::unique_ptr<cpu::Engine> engine, Listener& listener, Turns* turns, Lockstep* lockstep);
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  cpu::Core& core() { return engine_->core(); }
  unsigned index() { return core().index; }
  cpu::Engine& engine() { return *engine_; }
  int thread_id() const { return thread_id_; }  // gettid(2); after start()
  // Any thread, after start(): the host's time that the thread has had, or MachineHost::kIdle while it sleeps
  // in a halt and nobody has kicked it.
  int64_t guest_time_ns() const;

  void name_thread(std::string name) { thread_name_ = std::move(name); }  // before start()
  // The thread begins, standing still.
  void start();
  void resume();
  void request_stop();
  void wait_stopped();
  // While stopped: runs `work` on the vCPU's thread and waits for it.
  void call(const std::function<void(cpu::Engine&)>& work);
  void quit();  // stops and ends the thread

  void kick();
  // Any thread: leaves the guest for a moment, so that another has its turn.
  void yield();

 private:
  void main();
  bool stand_still();
  void run_once();
  cpu::Exit run_engine();
  void block_signals() const;

  Listener& listener_;
  Turns* turns_;
  Lockstep* lockstep_;
  std::unique_ptr<cpu::Engine> engine_;
  std::string thread_name_;
  std::thread thread_;
  std::atomic<int> thread_id_{0};
  std::atomic<clockid_t> thread_clock_{};
  static constexpr uint64_t kAwake = ~uint64_t{0};
  std::atomic<uint64_t> sleeps_at_{kAwake};  // wake_ as it was when the thread went to sleep
  std::atomic<uint32_t> wake_{0};            // counts kicks; what a halted vCPU sleeps on
  std::atomic<bool> stop_{true};             // asked to stand still

  std::mutex mutex_;  // the rest
  std::condition_variable changed_;
  bool stopped_ = false;
  bool quit_ = false;
  const std::function<void(cpu::Engine&)>* work_ = nullptr;
};

}  // namespace rhea::machine
