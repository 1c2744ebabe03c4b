// What the vCPUs of one VM share in the translator.
#pragma once

#include <atomic>
#include <memory>

#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/exclusive.h"
#include "engine/dbt/options.h"
#include "engine/dbt/perf_map.h"
#include "engine/dbt/thunks.h"
#include "engine/dbt/translate.h"
#include "memory/ram_block.h"

namespace rhea::dbt {

class DbtShared final : public memory::CodeListener {
 public:
  DbtShared(const DbtOptions& options_in, std::unique_ptr<CodeCache> cache_in);
  ~DbtShared() override;

  void code_written(memory::RamBlock& block, uint64_t offset, uint64_t length) override;

  DbtOptions options;
  std::unique_ptr<CodeCache> cache;
  Thunks thunks;
  Translator translator;
  Exclusive exclusive;
  std::unique_ptr<PerfMap> perf_map;  // or null
  Block* find_or_translate(Context& c, memory::RamBlock* ram, uint64_t offset, uint64_t linear, uint32_t mode,
                           bool& faulted);

  std::atomic<uint64_t> dropped{0}, resets{0};
  std::atomic<uint64_t> translate_ns{0};  // CPU time, estimated from some of the translations

 private:
  void make_room(Context& c);
  bool claim_page(Context& c, memory::RamBlock& ram, uint64_t page, bool others_stopped);
  Block* translate_from_ram(Context& c, memory::RamBlock& ram, uint64_t offset, uint64_t linear,
                            uint32_t mode, bool& crosses);
  Block* translate_crossing(Context& c, memory::RamBlock& ram, uint64_t offset, uint64_t linear,
                            uint32_t mode, bool& faulted);
  Block* translate_elsewhere(Context& c, uint64_t linear, uint32_t mode, bool& faulted);
};

inline DbtShared& shared_of(Context& c) {
  return *c.owner;
}

}  // namespace rhea::dbt
