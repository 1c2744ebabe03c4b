// Guest memory: -m, -mem-path, -mem-prealloc, -object memory-backend-ram|file|memfd, -machine
// memory-backend=.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/key_values.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct MemoryOptions {
  uint64_t size = uint64_t{128} << 20;
  bool given = false;     // by -m
  std::string path;       // -mem-path
  bool prealloc = false;  // -mem-prealloc
};

enum class MemoryKind : uint8_t { Ram, File, Memfd };
enum class MemoryPolicy : uint8_t { Default };

struct MemoryObject {
  MemoryKind kind = MemoryKind::Ram;
  std::string id;
  uint64_t size = 0;
  std::optional<bool> merge = {}, dump = {};  // otherwise as -machine says
  std::optional<bool> share = {};             // a memfd is shared unless it says no, others are not
  bool reserve = true, prealloc = false;
  uint32_t prealloc_threads = 1;
  MemoryPolicy policy = MemoryPolicy::Default;
  std::string path = {};  // File: a file, or a folder for a nameless one
  bool discard_data = false;
  bool seal = true, hugetlb = false;  // Memfd
  std::optional<uint64_t> hugetlb_size = {};
};

void add_memory_options(Options& to, SystemOptions& options);
// Nothing if `kind` is none of these.
std::optional<MemoryKind> memory_kind(std::string_view kind);
std::string memory_object_help(MemoryKind kind);
Result<> take_memory_object(SystemOptions& options, MemoryKind kind, std::string id,
                            const config::KeyValues& values);
// After all options: settles the size of the machine's memory.
Result<> settle_memory(SystemOptions& options);

}  // namespace rhea::system
