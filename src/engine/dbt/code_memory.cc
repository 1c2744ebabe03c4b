#include "engine/dbt/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace rhea::dbt {

namespace {

#ifndef MADV_POPULATE_READ
constexpr int MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23;  // Linux 5.14
#endif
#ifndef MADV_COLLAPSE
constexpr int MADV_COLLAPSE = 25;  // Linux 6.1
#endif

// One view, aligned for huge pages.
uint8_t* map_view(int fd, uint64_t bytes, uint64_t alignment, int protection) {
  // SAFETY: address space only; the view replaces a part of it and the rest is given back.
  void* area =
      mmap(nullptr, bytes + alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return nullptr;
  auto begin = reinterpret_cast<uintptr_t>(area);
  uintptr_t at = (begin + alignment - 1) & ~(alignment - 1);
  // SAFETY: lies inside the reservation, which is ours.
  void* view = mmap(reinterpret_cast<void*>(at), bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0);
  if (view == MAP_FAILED) {
    munmap(area, bytes + alignment);
    return nullptr;
  }
  if (at != begin) munmap(area, at - begin);
  uintptr_t behind = at + bytes, end = begin + bytes + alignment;
  if (behind != end) munmap(reinterpret_cast<void*>(behind), end - behind);
  return static_cast<uint8_t*>(view);
}

}  // namespace

Result<> CodeMemory::create(const char* name, uint64_t bytes, bool huge, bool executable) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "creating the translation cache");
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    int e = errno;
    close(fd);
    return fail_errno(e, "sizing the translation cache");
  }
  rw_ = map_view(fd, bytes, kHugePage, PROT_READ | PROT_WRITE);
  if (executable && rw_ != nullptr) rx_ = map_view(fd, bytes, kHugePage, PROT_READ | PROT_EXEC);
  int e = errno;
  close(fd);
  size_ = bytes;
  if (rw_ == nullptr || (executable && rx_ == nullptr)) return fail_errno(e, "mapping the translation cache");
  huge_ = huge;
  ready_.resize((bytes + kStep - 1) / kStep);
  return {};
}

CodeMemory::~CodeMemory() {
  if (rw_ != nullptr) munmap(rw_, size_);
  if (rx_ != nullptr) munmap(rx_, size_);
}

// A whole huge page behind both views; what is there already is kept. Works whatever the host's setting for
// shared memory is, if it has such a page.
bool CodeMemory::collapse(uint64_t chunk) {
  uint64_t at = chunk * kHugePage;
  if (at + kHugePage > size_) return false;
  madvise(rw_ + at, 1, MADV_POPULATE_WRITE);  // an empty range has nothing to collapse
  return madvise(rw_ + at, kHugePage, MADV_COLLAPSE) == 0 &&
         (rx_ == nullptr || madvise(rx_ + at, kHugePage, MADV_COLLAPSE) == 0);
}

void CodeMemory::prepare(uint64_t offset, uint64_t bytes) {
  uint64_t last = std::min<uint64_t>((offset + bytes - 1) / kStep, ready_.size() - 1);
  for (uint64_t step = offset / kStep; step <= last; ++step) {
    if (ready_[step] != 0) continue;
    constexpr uint64_t kSteps = kHugePage / kStep;
    uint64_t chunk = step / kSteps;
    if (huge_ && small_ >= kSmallSteps) {
      if (collapse(chunk)) {
        std::fill_n(ready_.begin() + static_cast<int64_t>(chunk * kSteps), kSteps, uint8_t{1});
        continue;
      }
      huge_ = false;
    }
    uint64_t at = step * kStep, length = std::min(kStep, size_ - at);
    // Older kernels do without: the pages come one by one.
    madvise(rw_ + at, length, MADV_POPULATE_WRITE);
    if (rx_ != nullptr) madvise(rx_ + at, length, MADV_POPULATE_READ);
    ready_[step] = 1;
    ++small_;
  }
}

}  // namespace rhea::dbt
