// decode → analyse → emit for one block.
#pragma once

#include <memory>

#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/options.h"
#include "engine/dbt/thunks.h"

namespace rhea::dbt {

struct TranslateInput {
  memory::RamBlock* ram;  // null: bytes come from somewhere that is not RAM
  uint64_t offset;        // of the first byte
  const uint8_t* bytes;   // the first byte …
  unsigned available;  // … and how many up to the page's end (or of the whole instruction, when crossing)
  unsigned page_offset;
  uint32_t mode;
  bool crossing;
  memory::RamBlock* second_ram;
  uint64_t second_offset;
};

// Keeps its buffers and what it has decoded from one block to the next: the cache's lock is its lock too.
class Translator {
 public:
  Translator(CodeCache& cache, const Thunks& thunks, const DbtOptions& options);
  ~Translator();
  Translator(const Translator&) = delete;
  Translator& operator=(const Translator&) = delete;

  // The block, published; null when the first instruction needs bytes beyond `available` (it crosses the
  // page).
  Block* translate(CacheLock& lock, const cpu::CpuidTable& cpuid, Counters& counters,
                   const TranslateInput& input);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace rhea::dbt
