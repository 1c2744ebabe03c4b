// Copying the content of images into another one, sparse where it can be: the work behind `convert`.
//
// Worker threads take pieces of the source in order, read, look for zeros and compress on their own; only
// what decides about the layout of the target happens in the order of the pieces (Turnstile), so that the
// result does not depend on timing. With out_of_order that order is dropped too.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "block/image.h"

namespace rhea::block {

struct ConvertOptions {
  unsigned workers = 8;
  bool out_of_order = false;
  bool compress = false;
  uint64_t sparse_size = 4096;      // zeros are looked for in units of this; 0: not at all, all is written
  bool target_is_zero = false;      // what is not written reads as zeros
  bool target_has_backing = false;  // unallocated parts of the source's first image are left out
  bool copy_offload = false;        // let the kernel copy where both sides are plain files
  bool salvage = false;             // unreadable parts become zeros
  uint64_t rate_limit = 0;          // bytes a second; 0: none
  std::function<void(uint64_t done, uint64_t total)> progress;  // one thread at a time
  std::function<void(uint64_t offset, const Error&)> salvaged;  // one thread at a time
  const std::atomic<bool>* cancel = nullptr;
};

// The sources lie one behind the other. Errors of kind Cancelled: `cancel` was set.
Result<> convert(std::span<ImageNode* const> sources, ImageNode& target, const ConvertOptions& options);

}  // namespace rhea::block
