#include "machine/vm.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cerrno>
#include <string>

#include "base/log.h"
#include "cpu/control_transfer.h"
#include "cpu/dump.h"
#include "cpu/paging.h"
#include "cpu/registers.h"
#include "memory/address_space.h"

namespace rhea::machine {

namespace {
constexpr int64_t kSlice = 2'000'000;  // ns

std::string dump(const cpu::Core& core) {
  std::string text = cpu::dump_state(core.s);
  text.pop_back();  // the log adds the last line's end
  return text;
}
}  // namespace

Vm::Vm(Options options) : options_(options) {
  if (options.one_at_a_time) slice_timer_ = loop_.monotonic_clock().make_timer([this] { slice_over(); });
}

Vm::~Vm() {
  for (auto& vcpu : vcpus_) vcpu->quit();
  signal_watch_.reset();
  if (signal_fd_ >= 0) ::close(signal_fd_);
}

Result<> Vm::create_vcpus(unsigned count, engine::Accelerator& accelerator) {
  if (options_.deterministic) {
    std::unique_ptr<StateLog> log;
    if (options_.state_log) log = TRY(StateLog::create(*options_.state_log, [this] { request_exit(0); }));
    lockstep_ = std::make_unique<Lockstep>(loop_.virtual_clock(), lock_, std::move(log));
  }
  for (unsigned i = 0; i < count; ++i) {
    Turns* turns = options_.one_at_a_time ? &turns_ : nullptr;
    vcpus_.push_back(std::make_unique<Vcpu>(TRY(accelerator.create_engine(i)),
                                            static_cast<Vcpu::Listener&>(*this), turns, lockstep_.get()));
    if (options_.name_threads) vcpus_.back()->name_thread(fmt::format("CPU {}/{}", i, accelerator.name()));
    if (lockstep_) lockstep_->add(vcpus_.back()->core());
  }
  return {};
}

Result<> Vm::start(Board& board) {
  board_ = &board;
  TRY(watch_signals());
  watch_memory();
  if (slice_timer_) slice_over();
  for (auto& vcpu : vcpus_) vcpu->start();
  reset();
  return {};
}

// The end of a time slice of vCPUs that run in turn.
void Vm::slice_over() {
  if (auto vcpu = turns_.contended()) vcpus_[*vcpu]->yield();
  slice_timer_->arm(loop_.monotonic_clock().now_ns() + kSlice);
}

// Engines derive translations from the memory map: a change drops them on every vCPU.
void Vm::watch_memory() {
  auto drop = [this] {
    for (auto& vcpu : vcpus_) {
      vcpu->core().pending.fetch_or(cpu::pending::kTlbFlush);
      vcpu->kick();
    }
  };
  if (vcpus_.empty()) return;
  const cpu::Core& core = vcpus_.front()->core();
  if (core.memory != nullptr) core.memory->on_change(drop);
  if (core.smm_memory != nullptr && core.smm_memory != core.memory) core.smm_memory->on_change(drop);
}

// Blocked here before the vCPU threads begin, so that they come to the descriptor only.
Result<> Vm::watch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd_ < 0) return fail_errno(errno, "signalfd");
  signal_watch_ = TRY(loop_.watch(signal_fd_, EPOLLIN, [this](uint32_t) { signalled(); }));
  return {};
}

void Vm::signalled() {
  signalfd_siginfo info;
  if (::read(signal_fd_, &info, sizeof info) != sizeof info) return;
  log_error("terminating on signal {} from pid {}", info.ssi_signo, info.ssi_pid);
  request_exit(0, Cause::HostSignal);
}

int Vm::run() {
  if (!options_.start_paused) ask(Request::Resume);
  while (!ended_) {
    serve_requests();
    if (!ended_) loop_.run_once(run_unlocked() ? 0 : -1);
  }
  stop_vcpus();
  if (debugger_ != nullptr) {
    std::scoped_lock hold(lock_);
    debugger_->exiting(*ended_);
  }
  for (auto& vcpu : vcpus_) vcpu->quit();
  return *ended_;
}

void Vm::ask(Request request) {
  requests_.fetch_or(1u << static_cast<unsigned>(request));
  if (lockstep_) lockstep_->asked();
  loop_.post([] {});
}

bool Vm::take(Request request) {
  uint32_t bit = 1u << static_cast<unsigned>(request);
  return (requests_.fetch_and(~bit) & bit) != 0;
}

void Vm::add_listener(RunListener& listener) {
  listeners_.push_back(&listener);
}
void Vm::remove_listener(RunListener& listener) {
  std::erase(listeners_, &listener);
}

// Main thread, without the machine lock.
void Vm::tell(const std::function<void(RunListener&)>& what) {
  std::scoped_lock hold(lock_);
  for (RunListener* listener : listeners_) what(*listener);
}

void Vm::post_unlocked(std::function<void()> work) {
  {
    std::scoped_lock hold(unlocked_mutex_);
    unlocked_.push_back(std::move(work));
  }
  loop_.post([] {});
}

// One piece of work a turn: many of them must not hold up the event loop. True: there is more.
bool Vm::run_unlocked() {
  std::function<void()> work;
  {
    std::scoped_lock hold(unlocked_mutex_);
    if (unlocked_.empty()) return false;
    work = std::move(unlocked_.front());
    unlocked_.pop_front();
  }
  work();
  return true;
}

void Vm::when_still(std::function<void()> work) {
  post_unlocked([this, work = std::move(work)] { with_vcpus_still(work); });
}

void Vm::with_vcpus_still(const std::function<void()>& work) {
  bool ran = vcpus_run_;
  stop_vcpus();
  for (auto& vcpu : vcpus_) vcpu->call([](cpu::Engine& engine) { engine.pull(); });
  {
    std::scoped_lock hold(lock_);
    work();
  }
  if (!ran) return;
  // A vCPU may have met a breakpoint or a triple fault just before.
  serve_requests();
  if (!ended_ && state_ == RunState::Running) resume_vcpus();
}

void Vm::request_reset(Cause cause) {
  reset_cause_ = cause;
  ask(Request::Reset);
}
void Vm::request_power_off() {
  ask(Request::PowerOff);
}
void Vm::request_suspend() {
  log_warn("the guest asks for suspend, which is not supported; it goes on");
}
void Vm::request_power_button() {
  ask(Request::PowerButton);
}
void Vm::request_pause(RunState why) {
  pause_state_ = why;
  ask(Request::Pause);
}
void Vm::request_resume() {
  request_resume({});
}
void Vm::request_resume(std::vector<bool> only) {
  {
    std::scoped_lock hold(lock_);
    resume_only_ = std::move(only);
  }
  ask(Request::Resume);
}
void Vm::request_exit(int status, Cause cause) {
  exit_status_ = status;
  exit_cause_ = cause;
  ask(Request::Exit);
}

void Vm::kick(unsigned vcpu) {
  if (vcpu < vcpus_.size()) vcpus_[vcpu]->kick();
}

// In a deterministic machine the host's time means nothing.
int64_t Vm::guest_time_ns() const {
  return lockstep_ || vcpus_.empty() ? kIdle : vcpus_.front()->guest_time_ns();
}

void Vm::triple_fault(Vcpu& vcpu) {
  if (log_on(LogItem::CpuReset)) {
    vcpu.engine().pull();
    log_line(fmt::format("Triple fault: CPU {}\n{}", vcpu.index(), dump(vcpu.core())));
  }
  request_reset();
}

void Vm::debug_stop(Vcpu& vcpu) {
  {
    std::scoped_lock hold(debug_mutex_);
    debug_stops_.push_back(vcpu.index());
  }
  loop_.post([] {});
}

// Main thread, without the machine lock: a vCPU that is to stop may be waiting for it.
void Vm::stop_vcpus() {
  if (!vcpus_run_) return;
  vcpus_run_ = false;
  for (auto& vcpu : vcpus_) vcpu->request_stop();
  for (auto& vcpu : vcpus_) vcpu->wait_stopped();
  loop_.virtual_clock().stop();
}

void Vm::resume_vcpus() {
  if (vcpus_run_) return;
  vcpus_run_ = true;
  loop_.virtual_clock().start();
  std::vector<bool> only;
  {
    std::scoped_lock hold(lock_);
    only = resume_only_;
  }
  if (lockstep_) lockstep_->choose(only);
  for (auto& vcpu : vcpus_) {
    if (only.empty() || only[vcpu->index()]) vcpu->resume();
  }
}

void Vm::enter_state(RunState state) {
  RunState from = state_;
  if (state != RunState::Running) stop_vcpus();
  state_ = state;
  if (from != state) tell([=](RunListener& listener) { listener.state_changed(from, state); });
  if (state == RunState::Running) resume_vcpus();
}

void Vm::serve_requests() {
  uint64_t asks = lockstep_ ? lockstep_->asks() : 0;
  carry_out_requests();
  if (lockstep_) lockstep_->served(asks);
}

void Vm::carry_out_requests() {
  if (take(Request::Exit)) return end(exit_status_, exit_cause_);
  report_debug_stop();
  if (take(Request::PowerOff)) power_off_requested();
  if (take(Request::Reset)) reset_requested();
  if (ended_) return;
  if (take(Request::PowerButton)) {
    {
      std::scoped_lock hold(lock_);
      board_->press_power_button();
    }
    tell([](RunListener& listener) { listener.power_button(); });
  }
  if (take(Request::Pause)) {
    if (state_ == RunState::Running) enter_state(pause_state_);
    std::scoped_lock hold(lock_);
    if (debugger_ != nullptr) debugger_->interrupted();
  }
  if (take(Request::Resume) && state_ != RunState::Shutdown) enter_state(RunState::Running);
}

void Vm::power_off_requested() {
  if (options_.shutdown) return end(0, Cause::GuestShutdown);
  tell([](RunListener& listener) { listener.shutting_down(Cause::GuestShutdown); });
  enter_state(RunState::Shutdown);
}

void Vm::reset_requested() {
  Cause cause = reset_cause_;
  if (options_.reboot) {
    reset();
    // A machine that was over may be started anew.
    if (state_ == RunState::Shutdown) enter_state(RunState::Prelaunch);
    return tell([=](RunListener& listener) { listener.was_reset(cause); });
  }
  if (options_.shutdown) return end(0, cause);
  tell([=](RunListener& listener) { listener.shutting_down(cause); });
  enter_state(RunState::Shutdown);
}

void Vm::end(int status, Cause cause) {
  state_ = RunState::Shutdown;
  ended_ = status;
  tell([=](RunListener& listener) { listener.shutting_down(cause); });
}

void Vm::report_debug_stop() {
  std::optional<unsigned> first;
  {
    std::scoped_lock hold(debug_mutex_);
    if (debug_stops_.empty()) return;
    first = debug_stops_.front();
  }
  enter_state(RunState::Debug);
  {
    // The others' stops at the same moment: they meet their breakpoint again when they go on.
    std::scoped_lock hold(debug_mutex_);
    debug_stops_.clear();
  }
  std::scoped_lock hold(lock_);
  if (debugger_ != nullptr) {
    debugger_->stopped(*first, vcpus_[*first]->engine().debug_hit());
  } else {
    request_resume();
  }
}

// Power-up of everything. The run state stays; a debugger's stop does too.
void Vm::reset() {
  bool ran = vcpus_run_;
  stop_vcpus();
  auto tsc_offset =
      lockstep_ ? -lockstep_->now_ns() : -static_cast<int64_t>(cpu::scaled_tsc(core(0), __rdtsc()));
  if (lockstep_) lockstep_->reset();
  {
    std::scoped_lock hold(lock_);
    board_->reset();
  }
  for (auto& vcpu : vcpus_) {
    vcpu->call([&](cpu::Engine& engine) {
      cpu::Core& core = engine.core();
      if (log_on(LogItem::CpuReset)) {
        engine.pull();
        log_line(fmt::format("CPU Reset (CPU {})\n{}", core.index, dump(core)));
      }
      core.s = {};
      core.pending = cpu::pending::kTlbFlush;
      cpu::reset_core(core, true);
      core.s.tsc_offset = tsc_offset;
      core.s.wait_for_sipi = core.index != 0;
      core.s.halted = core.index != 0;
      cpu::paging_memory_changed(core);
      engine.push();
    });
  }
  if (ran) resume_vcpus();
}

}  // namespace rhea::machine
