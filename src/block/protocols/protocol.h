// What protocols have beyond a node: a name to show, the space they take, and sometimes a file descriptor.
#pragma once

#include <optional>
#include <string>

#include "block/node.h"

namespace rhea::block {

class ProtocolNode : public BlockNode {
 public:
  // As messages, `info` and `map` show it.
  virtual const std::string& filename() const = 0;
  virtual std::optional<uint64_t> allocated_bytes() const = 0;
  // For copy_file_range and the like; -1: has none.
  virtual int fd() const { return -1; }
  // Whether what was made anew, or given more room, reads as zeros there.
  virtual bool fresh_reads_as_zeros() const { return true; }
  // Direct I/O: offsets, lengths and buffers in these units go without a copy; 1: any.
  virtual uint32_t alignment() const { return 1; }
};

}  // namespace rhea::block
