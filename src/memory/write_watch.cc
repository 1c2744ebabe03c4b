// The fault handler finds a block in a fixed table of slots, since it may take no lock. The order of steps
// makes a lost write impossible: arm() clears `written`, then protects; a fault unprotects, then sets
// `written`. When both run at once, the block may be left writable only with `written` set, or protected with
// a needless report.
//
// SIGSEGV: the translator's handler calls on_fault() first; without it (other engines, tests) a handler of
// our own is installed with the first watch, which passes what is not ours to the one before it.
#include "memory/write_watch.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace rhea::memory {

struct WatchSlot {
  std::atomic<bool> taken{false};
  std::atomic<uint8_t*> begin{nullptr};  // null: no block
  std::atomic<uint64_t> size{0};
  std::atomic<int> event{-1};
  std::atomic<bool> written{false};
};

namespace {

constexpr size_t kSlots = 16;
std::array<WatchSlot, kSlots> slots;
std::atomic<bool> forbidden{false};
struct sigaction before {};

void on_signal(int signal, siginfo_t* info, void* context) {
  if (WriteWatch::on_fault(info->si_addr)) return;
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    ::sigaction(signal, &before, nullptr);  // returning repeats the fault, now fatally
  }
}

void install_handler() {
  struct sigaction now {};
  ::sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_signal) return;
  before = now;
  struct sigaction ours {};
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigemptyset(&ours.sa_mask);
  ::sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace

std::unique_ptr<WriteWatch> WriteWatch::create(async::EventLoop& loop, RamBlock& block,
                                               std::function<void()> written) {
  for (WatchSlot& slot : slots) {
    if (slot.taken.exchange(true)) continue;
    const int event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    std::unique_ptr<WriteWatch> watch(new WriteWatch(block, slot, std::move(written)));
    slot.event = event;
    WriteWatch* self = watch.get();
    auto watched = event < 0 ? fail_errno(errno, "eventfd")
                             : loop.watch(event, EPOLLIN, [self](uint32_t) { self->report(); });
    if (!watched) return nullptr;
    watch->event_ = std::move(*watched);
    slot.size = block.size();
    slot.begin = block.host();
    install_handler();
    return watch;
  }
  return nullptr;
}

WriteWatch::WriteWatch(RamBlock& block, WatchSlot& slot, std::function<void()> written)
    : block_(block), slot_(slot), written_(std::move(written)) {}

WriteWatch::~WriteWatch() {
  disarm();
  slot_.begin = nullptr;
  event_.reset();
  if (slot_.event >= 0) ::close(slot_.event);
  slot_.event = -1;
  slot_.taken = false;
}

bool WriteWatch::arm() {
  if (forbidden) return false;
  slot_.written = false;
  // SAFETY: the block's own pages; stores that fault are repeated by on_fault().
  armed_ = ::mprotect(block_.host(), block_.size(), PROT_READ) == 0;
  return armed_;
}

void WriteWatch::disarm() {
  if (!armed_) return;
  armed_ = false;
  ::mprotect(block_.host(), block_.size(), PROT_READ | PROT_WRITE);
}

void WriteWatch::report() {
  uint64_t count = 0;
  if (::read(slot_.event, &count, sizeof(count)) < 0 || !armed_ || !slot_.written) return;
  disarm();
  written_();
}

bool WriteWatch::on_fault(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (WatchSlot& slot : slots) {
    uint8_t* begin = slot.begin.load();
    const auto first = reinterpret_cast<uintptr_t>(begin);
    const uint64_t size = slot.size.load();
    if (begin == nullptr || at < first || at - first >= size) continue;
    const int saved = errno;
    const bool writable = ::mprotect(begin, size, PROT_READ | PROT_WRITE) == 0;
    slot.written = true;
    const uint64_t one = 1;
    const ssize_t told = ::write(slot.event.load(), &one, sizeof(one));
    static_cast<void>(told);  // a full counter has told already
    errno = saved;
    return writable;
  }
  return false;
}

void WriteWatch::forbid() {
  forbidden = true;
}

}  // namespace rhea::memory
