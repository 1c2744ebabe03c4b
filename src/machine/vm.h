// One virtual machine at run time: the machine lock, the event loop, the vCPUs' threads and the run state.
// What it is made of is the board's business (board.h).
//
// run() is the main thread: between turns of the event loop, without the machine lock, it carries out what
// devices, vCPUs, signals and debuggers have asked for, because that needs the vCPUs to stand still and they
// may be waiting for the lock. Requests may be made from any thread.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "async/event_loop.h"
#include "engine/accelerator.h"
#include "machine/board.h"
#include "machine/machine_host.h"
#include "machine/run_state.h"
#include "machine/vcpu.h"

namespace rhea::machine {

// A debugger on the machine. Calls come on the main thread, machine lock held, vCPUs stopped.
class Debugger {
 public:
  virtual ~Debugger() = default;
  virtual void stopped(unsigned vcpu, cpu::DebugHit hit) = 0;  // a vCPU reported Exit::Debug
  virtual void interrupted() = 0;                              // after Vm::request_pause()
  virtual void exiting(int status) = 0;
};

class Vm final : public MachineHost, private Vcpu::Listener {
 public:
  struct Options {
    bool reboot = true;    // false: a reset ends the machine
    bool shutdown = true;  // false: it stays, stopped, after power-off
    bool start_paused = false;
    bool one_at_a_time = false;  // vCPUs in turn
    bool deterministic = false;  // in turn by instructions, which are the time (the engine counts them)
    std::optional<StateLogOptions> state_log = {};  // deterministic machines only
    bool name_threads = true;
  };

  explicit Vm(Options options);
  ~Vm() override;

  std::recursive_mutex& lock() { return lock_; }
  async::EventLoop& loop() { return loop_; }
  unsigned cpus() const { return static_cast<unsigned>(vcpus_.size()); }
  cpu::Core& core(unsigned index) { return vcpus_[index]->core(); }
  Vcpu& vcpu(unsigned index) { return *vcpus_[index]; }

  // First: the vCPUs, whose cores the caller then wires.
  Result<> create_vcpus(unsigned count, engine::Accelerator& accelerator);
  // Once the cores are wired: starts the threads, standing still, and resets everything.
  Result<> start(Board& board);
  // Until the machine ends; the process's status.
  int run();

  void request_reset() override { request_reset(Cause::GuestReset); }
  void request_power_off() override;
  void request_suspend() override;
  void request_exit(int status) override { request_exit(status, Cause::GuestShutdown); }
  void kick(unsigned vcpu) override;
  int64_t guest_time_ns() const override;
  void when_still(std::function<void()> work) override;

  // For the user's side: a signal, Ctrl-A x, a monitor, a debugger.
  void request_reset(Cause cause);
  void request_exit(int status, Cause cause);
  void request_power_button();
  // A machine that runs stops for this reason. Any thread.
  void request_pause(RunState why = RunState::Paused);
  void request_resume();
  // A debugger: only these vCPUs, the others stand still.
  void request_resume(std::vector<bool> only);
  // Main thread, machine lock held, while stopped; takes effect with the next resume.
  void set_debugger(Debugger* debugger) { debugger_ = debugger; }
  // As Options::reboot and shutdown, from now on. Machine lock held.
  void set_reboot(bool on) { options_.reboot = on; }
  void set_shutdown(bool on) { options_.shutdown = on; }
  RunState state() const { return state_; }
  // Main thread or machine lock held; not from a listener's call.
  void add_listener(RunListener& listener);
  void remove_listener(RunListener& listener);

  // Any thread: runs `work` soon on the main thread, without the machine lock: where the following may be
  // called.
  void post_unlocked(std::function<void()> work);
  // Carries out now what has been requested.
  void settle() { serve_requests(); }
  // Runs `work`, machine lock held, with every vCPU standing still and its state pulled; they go on after it.
  void with_vcpus_still(const std::function<void()>& work);

 private:
  enum class Request : uint8_t { Reset, PowerOff, PowerButton, Pause, Resume, Exit };

  void triple_fault(Vcpu& vcpu) override;
  void debug_stop(Vcpu& vcpu) override;

  void ask(Request request);
  bool take(Request request);
  void serve_requests();
  void carry_out_requests();
  void stop_vcpus();
  void resume_vcpus();
  void enter_state(RunState state);
  void reset();
  void reset_requested();
  void power_off_requested();
  void end(int status, Cause cause);
  void tell(const std::function<void(RunListener&)>& what);
  bool run_unlocked();
  void report_debug_stop();
  void watch_memory();
  void slice_over();
  Result<> watch_signals();
  void signalled();

  Options options_;
  std::recursive_mutex lock_;
  async::EventLoop loop_{lock_};
  Turns turns_;
  std::unique_ptr<Lockstep> lockstep_;         // only when deterministic
  std::unique_ptr<async::Timer> slice_timer_;  // only when one_at_a_time
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  Board* board_ = nullptr;
  Debugger* debugger_ = nullptr;
  std::vector<RunListener*> listeners_;
  RunState state_ = RunState::Prelaunch;
  bool vcpus_run_ = false;

  std::atomic<uint32_t> requests_{0};
  std::vector<bool> resume_only_;  // machine lock; empty: all
  std::atomic<int> exit_status_{0};
  std::atomic<Cause> exit_cause_{Cause::GuestShutdown}, reset_cause_{Cause::GuestReset};
  std::atomic<RunState> pause_state_{RunState::Paused};
  std::mutex unlocked_mutex_;
  std::deque<std::function<void()>> unlocked_;
  std::optional<int> ended_;
  std::mutex debug_mutex_;
  std::deque<unsigned> debug_stops_;  // vCPUs that reported one
  int signal_fd_ = -1;
  std::unique_ptr<async::EventLoop::Watch> signal_watch_;
};

}  // namespace rhea::machine
