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
#include "machine/vcpu.h"

namespace rhea::machine {

// Why the machine stands still.
enum class RunState : uint8_t { Prelaunch, Running, Paused, Debug, Shutdown };

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

  void request_reset() override;
  void request_power_off() override;
  void request_suspend() override;
  void request_exit(int status) override;
  void kick(unsigned vcpu) override;

  // For the user's side: a signal, Ctrl-A x, a debugger.
  void request_pause();
  void request_resume();
  // A debugger: only these vCPUs, the others stand still.
  void request_resume(std::vector<bool> only);
  // Main thread, machine lock held, while stopped; takes effect with the next resume.
  void set_debugger(Debugger* debugger) { debugger_ = debugger; }
  RunState state() const { return state_; }

 private:
  enum class Request : uint8_t { Reset, PowerOff, Pause, Resume, Exit };

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
  void end(int status);
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
  RunState state_ = RunState::Prelaunch;
  bool vcpus_run_ = false;

  std::atomic<uint32_t> requests_{0};
  std::vector<bool> resume_only_;  // machine lock; empty: all
  std::atomic<int> exit_status_{0};
  std::optional<int> ended_;
  std::mutex debug_mutex_;
  std::deque<unsigned> debug_stops_;  // vCPUs that reported one
  int signal_fd_ = -1;
  std::unique_ptr<async::EventLoop::Watch> signal_watch_;
};

}  // namespace rhea::machine
