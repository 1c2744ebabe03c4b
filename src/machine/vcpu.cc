#include "machine/vcpu.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "base/access_scope.h"
#include "machine/machine_host.h"

namespace rhea::machine {

namespace {

thread_local cpu::Core* t_core = nullptr;

}  // namespace

cpu::Core* current_core() {
  return t_core;
}

Vcpu::Vcpu(std::unique_ptr<cpu::Engine> engine, Listener& listener, Turns* turns, Lockstep* lockstep)
    : listener_(listener), turns_(turns), lockstep_(lockstep), engine_(std::move(engine)) {}

Vcpu::~Vcpu() {
  quit();
}

void Vcpu::start() {
  thread_ = std::thread([this] { main(); });
  wait_stopped();
}

void Vcpu::resume() {
  std::scoped_lock hold(mutex_);
  stop_ = false;
  stopped_ = false;
  changed_.notify_all();
}

void Vcpu::request_stop() {
  {
    std::scoped_lock hold(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  // In a deterministic machine a turn goes on to its end: where it is left must not depend on the host.
  if (lockstep_ == nullptr) core().pending.fetch_or(cpu::pending::kExit);
  kick();
}

void Vcpu::wait_stopped() {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [this] { return stopped_; });
}

void Vcpu::call(const std::function<void(cpu::Engine&)>& work) {
  std::unique_lock hold(mutex_);
  work_ = &work;
  changed_.notify_all();
  changed_.wait(hold, [this] { return work_ == nullptr; });
}

void Vcpu::quit() {
  if (!thread_.joinable()) return;
  request_stop();
  {
    std::scoped_lock hold(mutex_);
    quit_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Vcpu::kick() {
  wake_.fetch_add(1);
  engine_->kick();
  wake_.notify_one();
  if (lockstep_ != nullptr) lockstep_->wake();
}

int64_t Vcpu::guest_time_ns() const {
  timespec now{};
  if (sleeps_at_ == wake_ || ::clock_gettime(thread_clock_, &now) != 0) return MachineHost::kIdle;
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Vcpu::yield() {
  core().pending.fetch_or(cpu::pending::kExit);
  engine_->kick();
}

// False: the thread is to end.
bool Vcpu::stand_still() {
  std::unique_lock hold(mutex_);
  for (;;) {
    changed_.wait(hold, [this] {
      // Each time anew: a stop may follow a resume before this thread has seen either.
      if (stop_ && !stopped_) {
        stopped_ = true;
        changed_.notify_all();
      }
      return quit_ || work_ != nullptr || !stop_;
    });
    if (quit_) return false;
    if (work_ == nullptr) break;
    (*work_)(*engine_);
    work_ = nullptr;
    changed_.notify_all();
  }
  stopped_ = false;
  if (lockstep_ == nullptr) core().pending.fetch_and(~cpu::pending::kExit);
  return true;
}

cpu::Exit Vcpu::run_engine() {
  if (lockstep_ != nullptr) return lockstep_->run(*engine_, stop_);
  if (turns_ == nullptr) return engine_->run();
  turns_->take(index());
  cpu::Exit exit = engine_->run();
  turns_->give();
  return exit;
}

void Vcpu::run_once() {
  uint32_t seen = wake_.load();
  switch (run_engine()) {
    case cpu::Exit::Halted:
      sleeps_at_ = seen;
      if (!stop_) wake_.wait(seen);
      sleeps_at_ = kAwake;
      return;
    case cpu::Exit::Kicked: return;
    case cpu::Exit::TripleFault:
      stop_ = true;
      listener_.triple_fault(*this);
      return;
    case cpu::Exit::Debug:
      stop_ = true;
      listener_.debug_stop(*this);
      return;
  }
}

// The signals that end the process are the main thread's.
void Vcpu::block_signals() const {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void Vcpu::main() {
  thread_id_ = ::gettid();
  clockid_t clock{};
  if (::pthread_getcpuclockid(::pthread_self(), &clock) == 0) thread_clock_ = clock;
  block_signals();
  t_core = &core();
  AccessScope::take_on(lockstep_ == nullptr);
  if (!thread_name_.empty()) ::pthread_setname_np(::pthread_self(), thread_name_.c_str());
  for (;;) {
    if (stop_ && !stand_still()) return;
    run_once();
  }
}

}  // namespace rhea::machine
