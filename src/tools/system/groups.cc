#include "tools/system/groups.h"

#include "base/sizes.h"

namespace rhea::system {

using config::boolean;
using config::choice;
using config::Group;
using config::integer;
using config::size;
using config::text;

namespace {
constexpr uint64_t kLargestMemory = uint64_t{1} << 42;
constexpr uint64_t kMostCpus = 255;
constexpr uint64_t kMostInstructions = uint64_t{1} << 62;
}  // namespace

const Group<SmpOptions>& smp_group() {
  static const Group<SmpOptions> group{
      "smp",
      "cpus",
      {
          integer("cpus", &SmpOptions::cpus, 0, kMostCpus, "vCPUs (default 1)"),
          integer("sockets", &SmpOptions::sockets, 0, kMostCpus, "CPU sockets"),
          integer("cores", &SmpOptions::cores, 0, kMostCpus, "cores in a socket"),
          integer("threads", &SmpOptions::threads, 0, kMostCpus, "threads in a core"),
          integer("maxcpus", &SmpOptions::maxcpus, 0, kMostCpus,
                  "vCPUs that the firmware describes (default cpus)"),
      }};
  return group;
}

const Group<MemoryOptions>& memory_group() {
  static const Group<MemoryOptions> group{
      "m",
      "size",
      {size("size", &MemoryOptions::size, kMiB, kMiB, kLargestMemory, "guest RAM; a plain number is MiB")}};
  return group;
}

const Group<AccelOptions>& accel_group() {
  using A = AccelOptions;
  static const Group<A> group{
      "accel",
      "accel",
      {
          choice("accel", &A::kind,
                 {{"tcg", EngineKind::Dbt}, {"dbt", EngineKind::Dbt}, {"kvm", EngineKind::Kvm}},
                 "the engine; tcg and dbt both mean Rhea's binary translator"),
          choice("thread", &A::thread, {{"multi", Threading::Multi}, {"single", Threading::Single}},
                 "vCPUs in parallel or in turn"),
          integer("tb-size", &A::tb_size, 1, 2048,
                  "translation cache in MiB (default a quarter of RAM, 64 to 512)"),
          boolean("deterministic", &A::deterministic,
                  "reproducible runs: one vCPU at a time, time from instructions"),
          boolean("link", &A::link, "jumps between translated blocks"),
          boolean("jump-cache", &A::jump_cache, "inline lookup at indirect jumps"),
          boolean("probe", &A::probe, "the TLB is looked up at each access outside hot loops"),
          boolean("hot", &A::hot, "hot code is found and translated anew"),
          boolean("slots", &A::slots, "translations kept at each access"),
          boolean("flag-liveness", &A::flag_liveness, "unread flags are not saved"),
          boolean("groups", &A::groups, "one check for accesses at constant distances"),
          boolean("far-links", &A::far_links, "direct jumps to other pages are patched, too"),
          boolean("returns", &A::returns, "the host's CALL and RET for the guest's"),
          boolean("lazy-flags", &A::lazy_flags, "move flags only when something needs them"),
          boolean("superblocks", &A::superblocks, "blocks go on behind conditional branches"),
          boolean("huge-code", &A::huge_code, "huge pages for translated code"),
          boolean("quick-dispatch", &A::quick_dispatch, "a short way to known blocks"),
          boolean("inline-system", &A::inline_system, "CLI, SWAPGS, RDTSC and others without helpers"),
          boolean("inline-strings", &A::inline_strings,
                  "MOVS, STOS and LODS (with REP: in 64-bit code) without helpers"),
          boolean("prefetch", &A::prefetch, "the guest's prefetches are carried out"),
          boolean("predict", &A::predict, "indirect jumps through fixed pointers are patched"),
          boolean("large-pages", &A::large_pages, "the guest's large pages are kept behind the TLB"),
          boolean("single", &A::single, "one instruction a block"),
          integer("max-insns", &A::max_insns, 1, 512, "longest block in instructions"),
          text("state-log", &A::state_log, "deterministic=on: a file for hashes of the guest's state"),
          integer("state-log-from", &A::state_log_from, uint64_t{1}, kMostInstructions,
                  "instructions before the first"),
          integer("state-log-to", &A::state_log_to, uint64_t{1}, kMostInstructions,
                  "… the last, which ends the run"),
          integer("state-log-every", &A::state_log_every, uint64_t{1}, kMostInstructions,
                  "… and between them (default 1000000)"),
          boolean("state-log-flags", &A::state_log_flags, "status flags are part of the state"),
          boolean("state-log-detail", &A::state_log_detail, "registers and pages too, not their hash alone"),
      }};
  return group;
}

const Group<RtcOptions>& rtc_group() {
  static const Group<RtcOptions> group{
      "rtc",
      "",
      {
          text("base", &RtcOptions::base, "utc, localtime or a date as 2024-02-29T12:00:00"),
          choice("clock", &RtcOptions::clock,
                 {{"host", RtcClock::Host}, {"rt", RtcClock::Monotonic}, {"vm", RtcClock::Vm}},
                 "what the clock runs with"),
          choice("driftfix", &RtcOptions::driftfix_slew, {{"none", false}, {"slew", true}}, "lost ticks"),
      }};
  return group;
}

const Group<NameOptions>& name_group() {
  static const Group<NameOptions> group{
      "name",
      "guest",
      {
          text("guest", &NameOptions::guest, "the machine's name"),
          text("process", &NameOptions::process, "the process's name, the machine's by default"),
          boolean("debug-threads", &NameOptions::debug_threads,
                  "threads of vCPUs have names such as CPU 0/TCG (default: on)"),
      }};
  return group;
}

const Group<FwCfgOptions>& fw_cfg_group() {
  static const Group<FwCfgOptions> group{
      "fw_cfg",
      "name",
      {
          text("name", &FwCfgOptions::name, "item, as in opt/org.example/key"),
          text("file", &FwCfgOptions::file, "file with the contents"),
          text("string", &FwCfgOptions::string, "the contents"),
      }};
  return group;
}

}  // namespace rhea::system
