// What the vCPUs of one VM share in the translator.
#pragma once

#include <atomic>
#include <memory>

#include "engine/dbt/code_cache.h"
#include "engine/dbt/exclusive.h"
#include "engine/dbt/options.h"
#include "engine/dbt/thunks.h"
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
  Exclusive exclusive;
  std::atomic<uint64_t> dropped{0}, resets{0}, translate_ns{0};
};

}  // namespace rhea::dbt
