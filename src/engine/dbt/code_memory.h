// The memory that translated code and its index live in: one memory object, code mapped twice, writable here
// and executable there. Pages are asked for ahead of the translator and as huge pages where the host has
// them: touching both views a page at a time costs two faults for every six blocks, and small pages of code
// that runs once an hour cost a miss of the instruction TLB each time. Linux: memfd_create(2), madvise(2).
// Threading: prepare() under the code cache's lock.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace rhea::dbt {

class CodeMemory {
 public:
  CodeMemory() = default;
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // name: in the host's list of mappings. huge: huge pages wanted. Errors: NoSpace.
  Result<> create(const char* name, uint64_t bytes, bool huge, bool executable);
  uint8_t* writable() const { return rw_; }
  uint8_t* executable() const { return rx_; }
  uint64_t size() const { return size_; }

  // Memory behind [offset, offset + bytes) is about to be used.
  void prepare(uint64_t offset, uint64_t bytes);

 private:
  static constexpr uint64_t kHugePage = uint64_t{2} << 20, kStep = 64 << 10;
  static constexpr unsigned kSmallSteps = 8;  // the first ones: short guests need no huge page
  bool collapse(uint64_t chunk);

  uint8_t* rw_ = nullptr;
  uint8_t* rx_ = nullptr;
  uint64_t size_ = 0;
  bool huge_ = false;
  std::vector<uint8_t> ready_;  // by kStep
  unsigned small_ = 0;
};

}  // namespace rhea::dbt
