// Guest RAM: anonymous memory or a file's between two guard pages, huge pages where the host has them.
//
// The mapping is accounted (no MAP_NORESERVE), so that memory the host can never give is refused at start-up
// instead of killing the process later; pages are still only taken when touched. The code marks lie in their
// own mapping, which is demand-zero too. Threading: see the header; blocks are created and destroyed on the
// main thread.
#include "memory/ram_block.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

namespace rhea::memory {

namespace {

#ifndef MADV_POPULATE_WRITE
constexpr int MADV_POPULATE_WRITE = 23;  // Linux 5.14
#endif
constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kLargestBlock = uint64_t{1} << 46;

std::atomic<CodeListener*> code_listener{nullptr};
std::atomic<uint32_t> next_id{1};

uint64_t align_up(uint64_t value, uint64_t to) {
  return (value + to - 1) & ~(to - 1);
}

// Host bytes reserved around a block: alignment slack and a guard page each side.
uint64_t reservation(uint64_t size) {
  return size + kHugePage + 2 * kPageSize;
}

uint64_t marks_bytes(uint64_t size) {
  return align_up(size / kPageSize, kPageSize);
}

void* map_anonymous(void* at, uint64_t size, int protection, int flags) {
  return ::mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

bool map_backing(void* at, uint64_t size, const RamBacking& backing) {
  const int flags = MAP_FIXED | (backing.shared ? MAP_SHARED : MAP_PRIVATE) |
                    (backing.fd < 0 ? MAP_ANONYMOUS : 0) | (backing.reserve ? 0 : MAP_NORESERVE);
  return ::mmap(at, size, PROT_READ | PROT_WRITE, flags, backing.fd, 0) != MAP_FAILED;
}

}  // namespace

Result<std::unique_ptr<RamBlock>> RamBlock::create(std::string name, uint64_t size,
                                                   const RamBacking& backing) {
  if (size == 0) return fail(ErrorKind::Invalid, "memory block '" + name + "' is empty");
  if (size > kLargestBlock) {
    return fail(ErrorKind::NoSpace, "cannot set up guest memory '" + name + "': Cannot allocate memory");
  }
  size = align_up(size, kPageSize);
  // SAFETY: address space only; every page stays inaccessible but the block's own, mapped over it below.
  void* reserved = map_anonymous(nullptr, reservation(size), PROT_NONE, MAP_NORESERVE);
  if (reserved == MAP_FAILED) {
    return fail(ErrorKind::NoSpace, "cannot set up guest memory '" + name + "': Cannot allocate memory");
  }
  auto base = reinterpret_cast<uintptr_t>(reserved);
  uint64_t alignment = size >= kHugePage ? kHugePage : kPageSize;
  auto* host = reinterpret_cast<uint8_t*>(align_up(base + kPageSize, alignment));
  // SAFETY: lies inside the reservation, which is ours.
  if (!map_backing(host, size, backing)) {
    const std::string why = std::generic_category().message(errno);
    ::munmap(reserved, reservation(size));
    return fail(ErrorKind::NoSpace, "cannot set up guest memory '" + name + "': " + why);
  }
  if (size >= kHugePage) ::madvise(host, size, MADV_HUGEPAGE);  // an optimisation: the host may not have them
  ::madvise(host, size, MADV_DONTFORK);
  // SAFETY: one byte a page, zero-filled; std::atomic<uint8_t> is a byte whose zero is its zero.
  void* marks = map_anonymous(nullptr, marks_bytes(size), PROT_READ | PROT_WRITE, MAP_NORESERVE);
  if (marks == MAP_FAILED) {
    ::munmap(reserved, reservation(size));
    return fail(ErrorKind::NoSpace, "cannot set up guest memory '" + name + "': Cannot allocate memory");
  }
  auto block = std::unique_ptr<RamBlock>(
      new RamBlock(std::move(name), size, host, static_cast<std::atomic<uint8_t>*>(marks)));
  block->reserved_ = reserved;
  block->discard_ = backing.discard;
  return block;
}

RamBlock::RamBlock(std::string name, uint64_t size, uint8_t* host, std::atomic<uint8_t>* marks)
    : name_(std::move(name)), size_(size), host_(host), code_marks_(marks), id_(next_id.fetch_add(1)) {}

RamBlock::~RamBlock() {
  if (discard_) ::madvise(host_, size_, MADV_REMOVE);
  ::munmap(reserved_, reservation(size_));
  ::munmap(code_marks_, marks_bytes(size_));
}

void RamBlock::advise(bool mergeable, bool dumpable) {
  ::madvise(host_, size_, mergeable ? MADV_MERGEABLE : MADV_UNMERGEABLE);
  ::madvise(host_, size_, dumpable ? MADV_DODUMP : MADV_DONTDUMP);
}

Result<> RamBlock::populate(unsigned threads) {
  // Whole huge pages for each thread, so that no two of them ask for the same one.
  const uint64_t share = align_up(size_ / std::max(threads, 1u) + 1, kHugePage);
  std::atomic<int> error{0};
  std::vector<std::jthread> workers;
  for (uint64_t at = 0; at < size_; at += share) {
    workers.emplace_back([this, at, share, &error] {
      if (::madvise(host_ + at, std::min(share, size_ - at), MADV_POPULATE_WRITE) != 0) error = errno;
    });
  }
  workers.clear();
  if (error == 0) return {};
  return fail(ErrorKind::NoSpace,
              "cannot preallocate guest memory '" + name_ + "': " + std::generic_category().message(error));
}

void RamBlock::set_code_listener(CodeListener* listener) {
  code_listener.store(listener);
}

void RamBlock::note_written(uint64_t offset, uint64_t length) {
  if (length == 0 || offset >= size_) return;
  length = std::min(length, size_ - offset);
  uint64_t first = offset / kPageSize;
  uint64_t last = (offset + length - 1) / kPageSize;
  // Orders the caller's stores before the marks are read: a translator sets a mark, then reads the code.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  while (first <= last && !page_has_code(first)) ++first;
  if (first > last) return;
  CodeListener* listener = code_listener.load();
  if (listener != nullptr) listener->code_written(*this, offset, length);
}

}  // namespace rhea::memory
