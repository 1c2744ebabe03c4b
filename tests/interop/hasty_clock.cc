// Preloaded into qemu-img: a thread seems to have used 500 times the processor time that it has.
//
// qemu-img measures for seconds how much work PBKDF2 does in a second of this time before it makes a LUKS
// header; so it takes milliseconds. Tests only.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr long kHaste = 500;
constexpr long kMicroseconds = 1000000;

void hasten(timeval& time) {
  const long total = (time.tv_sec * kMicroseconds + time.tv_usec) * kHaste;
  time = {.tv_sec = total / kMicroseconds, .tv_usec = total % kMicroseconds};
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int getrusage(__rusage_who_t who, rusage* usage) noexcept {
  const long done = syscall(SYS_getrusage, who, usage);
  if (done == 0 && who == RUSAGE_THREAD) {
    hasten(usage->ru_utime);
    hasten(usage->ru_stime);
  }
  return static_cast<int>(done);
}
