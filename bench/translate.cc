// What translating costs: the text of an ELF file (64-bit, user mode) block after block into a code cache.
//
//     translate_bench FILE [ROUNDS]
//
// Prints host nanoseconds a guest instruction, the best of the rounds; the first round also pays for the
// memory of the cache. Nothing is run. Blocks are made in the order of their addresses, each at the end of
// the one before, until the text or the cache ends.
#include "engine/dbt/translate.h"

#include <elf.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "cpu/cpuid.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/thunks.h"

namespace rhea::dbt {
namespace {

constexpr uint64_t kPage = 4096;

struct Text {
  std::vector<uint8_t> bytes;
  uint64_t address = 0;
};

Text read_text(const char* path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> file((std::istreambuf_iterator<char>(in)), {});
  Text text;
  Elf64_Ehdr header;
  if (file.size() < sizeof header) return text;
  std::memcpy(&header, file.data(), sizeof header);
  for (unsigned n = 0; n < header.e_shnum; ++n) {
    Elf64_Shdr s;
    uint64_t at = header.e_shoff + n * sizeof s;
    if (at + sizeof s > file.size()) break;
    std::memcpy(&s, file.data() + at, sizeof s);
    bool code = s.sh_type == SHT_PROGBITS && (s.sh_flags & SHF_EXECINSTR) != 0;
    if (!code || s.sh_size <= text.bytes.size() || s.sh_offset + s.sh_size > file.size()) continue;
    text.address = s.sh_addr;
    auto begin = file.begin() + static_cast<int64_t>(s.sh_offset);
    text.bytes.assign(begin, begin + static_cast<int64_t>(s.sh_size));
  }
  return text;
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Result {
  uint64_t insns, blocks, host_bytes;
  double seconds;
};

// Until the text or the cache ends.
Result translate_all(CodeCache& cache, Translator& translator, memory::RamBlock& ram, uint64_t begin,
                     uint64_t end) {
  constexpr uint32_t kUser = mode::kCode64 | mode::kFlatEs | mode::kFlatCs | mode::kFlatSs | mode::kFlatDs |
                             mode::kOsfxsr | mode::kAvxOk | mode::kAvx512Ok | mode::kProtected | 3;
  cpu::CpuidTable cpuid;
  for (uint64_t& word : cpuid.features.words) word = ~uint64_t{0};
  Counters counters{};
  CacheLock lock = cache.lock();
  uint64_t at = begin;
  double started = cpu_seconds();
  while (at < end && cache.has_room()) {
    TranslateInput in{};
    in.ram = &ram;
    in.offset = at;
    in.bytes = ram.host() + at;
    in.page_offset = static_cast<unsigned>(at % kPage);
    in.available = static_cast<unsigned>(kPage - in.page_offset);
    in.mode = kUser;
    Block* b = translator.translate(lock, cpuid, counters, in);
    at = b == nullptr ? (at | (kPage - 1)) + 1 : at + b->guest_bytes;
  }
  return {counters.guest_insns, counters.blocks, counters.host_bytes, cpu_seconds() - started};
}

int run(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "/proc/self/exe";
  unsigned rounds = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 7;
  Text text = read_text(path);
  if (text.bytes.empty()) {
    fmt::print(stderr, "translate_bench: {}: no code in a 64-bit ELF file\n", path);
    return 1;
  }
  uint64_t first = text.address % kPage;
  auto ram = memory::RamBlock::create("text", first + text.bytes.size() + kPage);
  DbtOptions options;
  auto cache = CodeCache::create(options.cache_bytes, options.huge_code);
  if (!ram || !cache) return 1;
  std::copy(text.bytes.begin(), text.bytes.end(), (*ram)->host() + first);
  Thunks thunks = make_thunks(**cache);
  Translator translator(**cache, thunks, options);
  double best = 0, cold = 0;
  Result r{};
  for (unsigned n = 0; n < rounds; ++n) {
    r = translate_all(**cache, translator, **ram, first, first + text.bytes.size());
    double ns = r.seconds * 1e9 / static_cast<double>(r.insns);
    if (n == 0) cold = ns;
    best = n == 0 ? ns : std::min(best, ns);
    CacheLock lock = (*cache)->lock();
    (*cache)->reset(lock);
  }
  fmt::print(
      "{} instructions, {} blocks, {} host bytes: {:.0f} ns an instruction with a fresh cache, {:.0f} at "
      "best\n",
      r.insns, r.blocks, r.host_bytes, cold, best);
  return 0;
}

}  // namespace
}  // namespace rhea::dbt

int main(int argc, char** argv) {
  return rhea::dbt::run(argc, argv);
}
