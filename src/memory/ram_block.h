// One contiguous piece of guest RAM or ROM in host memory. Code that the translator caches is keyed by
// (block, offset), so aliases and remapping (PAM, A20, SMM) cost no code.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "memory/address.h"

namespace rhea::memory {

class RamBlock;

// Told when somebody other than a vCPU's own store path (DMA, gdb, monitor, loader) has written pages that
// are marked as holding cached code. Called on the writing thread.
class CodeListener {
 public:
  virtual ~CodeListener() = default;
  virtual void code_written(RamBlock& block, uint64_t offset, uint64_t length) = 0;
};

// What a block's memory is in the host.
struct RamBacking {
  int fd =
      -1;  // a file that is as long as the block; not owned, may be closed afterwards. -1: anonymous memory
  bool shared = false;   // other processes that map the file see what is written; false: private copies
  bool reserve = true;   // the host accounts for it at once, and refuses what it cannot give
  bool discard = false;  // what a file holds is given back to the host when the block ends
};

class RamBlock {
 public:
  // Zeroed memory, or a file's; size is rounded up to pages. Errors: NoSpace when the host cannot give it.
  static Result<std::unique_ptr<RamBlock>> create(std::string name, uint64_t size,
                                                  const RamBacking& backing = {});
  ~RamBlock();
  RamBlock(const RamBlock&) = delete;
  RamBlock& operator=(const RamBlock&) = delete;

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  uint8_t* host() const { return host_; }
  uint32_t id() const { return id_; }  // small, unique in the process

  // Hints to the host, which may be unable to follow them: equal pages may be shared between processes; core
  // dumps have the contents.
  void advise(bool mergeable, bool dumpable);
  // Takes all pages from the host now, with so many threads. Errors: NoSpace when it has not enough.
  Result<> populate(unsigned threads);

  // Per-page mark: the translator has cached code from this page.
  bool page_has_code(uint64_t page) const { return code_marks_[page].load(std::memory_order_relaxed) != 0; }
  void set_page_has_code(uint64_t page, bool on) { code_marks_[page].store(on, std::memory_order_seq_cst); }

  static void set_code_listener(CodeListener* listener);
  // To be called after any write that did not come from a vCPU's own store.
  void note_written(uint64_t offset, uint64_t length);

 private:
  RamBlock(std::string name, uint64_t size, uint8_t* host, std::atomic<uint8_t>* marks);

  std::string name_;
  uint64_t size_;
  uint8_t* host_;
  std::atomic<uint8_t>* code_marks_;
  uint32_t id_;
  bool discard_ = false;
  void* reserved_ = nullptr;  // the whole mapping, guard pages included
};

}  // namespace rhea::memory
