#include "engine/dbt/perf_map.h"

#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <string>

#include "engine/dbt/mode.h"

namespace rhea::dbt {

Result<std::unique_ptr<PerfMap>> PerfMap::create() {
  std::string path = "/tmp/perf-" + std::to_string(::getpid()) + ".map";
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return fail_errno(errno, path);
  ::setlinebuf(file);  // whole lines, also when the process is killed
  return std::unique_ptr<PerfMap>(new PerfMap(file));
}

PerfMap::~PerfMap() {
  std::fclose(file_);
}

void PerfMap::add(const CodeCache& cache, const Block& block, uint64_t linear) {
  auto line = [&](const uint8_t* begin, const uint8_t* end, const char* part) {
    std::fprintf(file_, "%" PRIxPTR " %" PRIxPTR " guest:%" PRIx64 " cpl%u%s\n",
                 reinterpret_cast<uintptr_t>(cache.executable(begin)), static_cast<uintptr_t>(end - begin),
                 linear, block.mode & mode::kCplMask, part);
  };
  std::scoped_lock hold(mutex_);
  line(block.start, block.end(), "");
  if (block.cold_bytes != 0) line(block.cold_start(), block.cold_end(), " stubs");
}

}  // namespace rhea::dbt
