// What a user may switch in the translator (-accel tcg,NAME=on|off …).
#pragma once

#include <cstdint>

namespace rhea::dbt {

struct DbtOptions {
  uint64_t cache_bytes = 64ull << 20;  // tb-size
  bool link = true;                    // patch direct jumps between blocks
  bool jump_cache = true;              // inline lookup at indirect jumps
  bool probe = true;                   // look the TLB up at each access outside hot loops, not a slot
  bool hot = true;                     // find hot code and translate it anew
  bool slots = true;           // keep translations per access site (off: every access takes the TLB path)
  bool flag_liveness = true;   // drop flag saves that nothing reads
  bool lazy_flags = true;      // move flags between EFLAGS and the state only when something needs them
  bool groups = true;          // one check for accesses at constant distances
  bool superblocks = true;     // go on behind conditional branches
  bool huge_code = true;       // huge pages for translated code
  bool quick_dispatch = true;  // a short way to known blocks when nothing is pending
  bool inline_system = true;   // CLI, SWAPGS, RDTSC and others are translated
  bool inline_strings = true;  // MOVS, STOS and LODS are translated, with REP in 64-bit code
  bool returns = true;         // host CALL and RET for the guest's
  bool far_links = true;       // patch direct jumps to other pages
  bool prefetch = true;        // the guest's prefetches are prefetches, not nothing
  bool predict = true;         // indirect jumps that usually go to one place are patched to it
  bool large_pages = true;     // large pages of the guest are kept behind the TLB
  bool perf_map = false;       // -perfmap
  bool single = false;         // one instruction a block
  bool deterministic = false;  // instructions are counted, and the guest sees no other time or randomness
  unsigned max_insns = 64;     // per block
};

}  // namespace rhea::dbt
