#include "machine/state_log.h"

#include <cpuid.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "base/failf.h"
#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::machine {

namespace {

using Text = fmt::memory_buffer;

template <class... Args>
void add(Text& to, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(to), format, std::forward<Args>(args)...);
}

// Four lanes of multiply and rotate: fast enough for all of a guest's RAM.
uint64_t hash(const void* data, size_t bytes) {
  constexpr uint64_t kA = 0x9e3779b97f4a7c15, kB = 0xc2b2ae3d27d4eb4f;
  uint64_t lane[4] = {1, 2, 3, bytes};
  const auto* p = static_cast<const uint8_t*>(data);
  for (; bytes >= 32; p += 32, bytes -= 32) {
    for (unsigned i = 0; i < 4; ++i) {
      uint64_t word;
      std::memcpy(&word, p + 8 * i, 8);
      lane[i] = (lane[i] ^ word) * kA;
      lane[i] ^= lane[i] >> 29;
    }
  }
  for (; bytes != 0; ++p, --bytes) lane[0] = (lane[0] ^ *p) * kB;
  uint64_t h = 0;
  for (uint64_t l : lane) h = ((h ^ l) * kB) ^ (h >> 31);
  return h;
}

bool is_zero(const uint8_t* p, size_t bytes) {
  return *p == 0 && std::memcmp(p, p + 1, bytes - 1) == 0;
}

uint32_t component_offset(unsigned component) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  __get_cpuid_count(0xd, component, &a, &b, &c, &d);
  return b;
}

void add_bytes(Text& to, const uint8_t* p, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) add(to, "{:02x}", p[i]);
}

// A component in its initial state may be left out of the image, whatever stands there.
void add_components(Text& to, const uint8_t* image, unsigned component, const char* name, unsigned count,
                    unsigned size) {
  uint64_t present;
  std::memcpy(&present, image + 512, 8);
  if ((present >> component & 1) == 0) return;
  const uint8_t* p = image + (component == 1 ? 160 : component_offset(component));
  for (unsigned i = 0; i < count; ++i, p += size) {
    if (is_zero(p, size)) continue;
    add(to, " {}{}=", name, i);
    add_bytes(to, p, size);
  }
}

void add_floating_point(Text& to, const uint8_t* image) {
  uint64_t present;
  uint32_t mxcsr;
  std::memcpy(&present, image + 512, 8);
  std::memcpy(&mxcsr, image + 24, 4);
  add(to, " mxcsr={:x}", mxcsr);  // saved whatever is present
  if ((present & 1) != 0) {
    uint16_t control, status;
    std::memcpy(&control, image, 2);
    std::memcpy(&status, image + 2, 2);
    if (control != 0x37f || status != 0 || image[4] != 0)
      add(to, " fcw={:x} fsw={:x} ftw={:x}", control, status, image[4]);
    for (unsigned i = 0; i < 8; ++i) {
      if (is_zero(image + 32 + 16 * i, 10)) continue;
      add(to, " st{}=", i);
      add_bytes(to, image + 32 + 16 * i, 10);
    }
  }
  add_components(to, image, 1, "xmm", 16, 16);
  add_components(to, image, 2, "ymmh", 16, 16);
  add_components(to, image, 5, "k", 8, 8);
  add_components(to, image, 6, "zmmh", 16, 32);
  add_components(to, image, 7, "zmmx", 16, 64);
}

void add_system(Text& to, const cpu::CpuState& s) {
  static constexpr const char* kNames[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
  for (unsigned i = 0; i < cpu::kSegCount; ++i) {
    const cpu::Segment& g = s.seg[i];
    add(to, " {}={:x}:{:x}:{:x}:{:x}", kNames[i], g.selector, g.base, g.limit, g.attr);
  }
  add(to, " gdtr={:x}:{:x} idtr={:x}:{:x}", s.gdtr.base, s.gdtr.limit, s.idtr.base, s.idtr.limit);
  add(to, " cr0={:x} cr2={:x} cr3={:x} cr4={:x} xcr0={:x} efer={:x} pkru={:x} cpl={}", s.cr0, s.cr2, s.cr3,
      s.cr4, s.xcr0, s.efer, s.pkru, s.cpl);
  for (unsigned i : {0, 1, 2, 3, 6, 7}) add(to, " dr{}={:x}", i, s.dr[i]);
  add(to, " halted={} sipi={} nmi={} shadow={}{} smm={} a20={} smbase={:x}", s.halted, s.wait_for_sipi,
      s.nmi_blocked, s.interrupt_shadow, s.shadow_is_mov_ss, s.in_smm, s.a20_masked, s.smbase);
  add(to, " star={:x} lstar={:x} cstar={:x} sfmask={:x} kernelgs={:x}", s.star, s.lstar, s.cstar, s.sfmask,
      s.kernel_gs_base);
  add(to, " sysenter={:x}:{:x}:{:x} pat={:x} apicbase={:x} tscaux={:x} tscoffset={:x} misc={:x}",
      s.sysenter_cs, s.sysenter_esp, s.sysenter_eip, s.pat, s.apic_base, s.tsc_aux, s.tsc_offset,
      s.misc_enable);
  add(to, " mtrr={:x}", hash(&s.mtrr, sizeof s.mtrr));
}

void add_code(Text& to, cpu::Core& core) {
  uint64_t linear = (core.s.code64() ? 0 : core.s.seg[cpu::CS].base) + core.s.rip, gpa;
  if (!cpu::debug_translate(core, linear, gpa)) return;
  const memory::FlatRange* range = core.memory->view()->find(gpa);
  if (range == nullptr || range->ram == nullptr) return;
  uint64_t left = range->end() - gpa;
  add(to, "\n  code {}=", core.index);
  for (unsigned i = 0; i < 16 && i < left; ++i)
    add(to, "{:02x}", range->ram->host()[range->offset + (gpa - range->start) + i]);
}

// What of RAM and ROM the guest can reach now, each block once.
std::set<memory::RamBlock*> blocks_of(cpu::Core& core) {
  std::set<memory::RamBlock*> blocks;
  for (const memory::FlatRange& range : core.memory->view()->ranges) {
    if (range.ram != nullptr) blocks.insert(range.ram);
  }
  return blocks;
}

void add_pages(Text& to, cpu::Core& core) {
  constexpr size_t kPage = 4096;
  for (memory::RamBlock* block : blocks_of(core)) {
    for (uint64_t at = 0; at < block->size(); at += kPage) {
      if (!is_zero(block->host() + at, kPage))
        add(to, "\n  page {}+{:#x}={:016x}", block->name(), at, hash(block->host() + at, kPage));
    }
  }
}

}  // namespace

Result<std::unique_ptr<StateLog>> StateLog::create(const StateLogOptions& options,
                                                   std::function<void()> finished) {
  int fd = ::open(options.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return fail_errno(errno, options.path);
  return std::unique_ptr<StateLog>(new StateLog(options, fd, std::move(finished)));
}

StateLog::StateLog(StateLogOptions options, int fd, std::function<void()> finished)
    : options_(std::move(options)),
      fd_(fd),
      next_(options_.from != 0 ? options_.from : options_.every),
      finished_(std::move(finished)) {}

StateLog::~StateLog() {
  ::close(fd_);
}

std::string StateLog::registers(const cpu::Core& core) const {
  static constexpr const char* kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  const cpu::CpuState& s = core.s;
  Text text;
  add(text, "  cpu{} rip={:x}", core.index, s.rip);
  for (unsigned i = 0; i < 16; ++i) add(text, " {}={:x}", kNames[i], s.gpr[i]);
  add(text, " rflags={:x}", options_.flags ? s.rflags() : s.rflags() & ~cpu::rflags::kStatus);
  add_system(text, s);
  add_floating_point(text, s.xsave);
  return fmt::to_string(text);
}

void StateLog::write(uint64_t moment, unsigned vcpu, const std::vector<cpu::Core*>& cores) {
  std::string state;
  for (const cpu::Core* core : cores) state += registers(*core) + "\n";
  uint64_t memory = 0;
  for (memory::RamBlock* block : blocks_of(*cores.front()))
    memory = memory * 31 + hash(block->host(), block->size());
  cpu::Core& core = *cores[vcpu];
  Text text;
  add(text, "at={} vcpu={} block={} rip={:x} state={:016x} memory={:016x}", moment, vcpu,
      moment - (core.retired - core.last_block), core.s.rip, hash(state.data(), state.size()), memory);
  if (options_.detail) {
    state.pop_back();
    add(text, "\n{}", state);
    add_code(text, core);
    add_pages(text, core);
  }
  text.push_back('\n');
  // Nothing can be done about a full disk here; the reader misses the moment.
  [[maybe_unused]] ssize_t written = ::write(fd_, text.data(), text.size());
  bool last = moment >= options_.to || options_.to - moment < options_.every;
  next_ = last ? ~uint64_t{0} : moment + options_.every;
  if (last) finished_();
}

}  // namespace rhea::machine
