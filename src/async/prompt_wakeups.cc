#include "async/prompt_wakeups.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace rhea::async {
namespace {

// struct sched_attr of sched_setattr(2), which Debian 12's C library does not have.
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

}  // namespace

void ask_for_prompt_wakeups() {
  constexpr uint64_t kShortestSlice = 100'000;
  ::prctl(PR_SET_TIMERSLACK, 1);
  SchedulingAttributes attributes{};
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime = kShortestSlice;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace rhea::async
