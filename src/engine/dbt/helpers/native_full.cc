// Running one EVEX instruction on this CPU with its memory operand moved to a buffer: how the masked forms,
// which must not touch what their mask leaves out, get their arithmetic. The code is made in a page that is
// mapped twice, so that none is writable and executable; each thread has its own. It runs with the guest's
// MXCSR: an unmasked exception arrives as a signal (signals.cc), which goes on behind the instruction.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "engine/dbt/helpers/vector_operand.h"

namespace rhea::dbt::helpers {

namespace {

constexpr unsigned kPage = 4096, kSlot = 32, kSlots = kPage / kSlot;

// A slot: the instruction with [rdi] as its memory operand, then RET.
class CodePage {
 public:
  CodePage() {
    int fd = memfd_create("rhea-native", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, kPage) == 0);
    // SAFETY: two views of one page of our own; only make() writes, only the finished slot is called.
    write_ = static_cast<uint8_t*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    run_ = static_cast<uint8_t*>(mmap(nullptr, kPage, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
    CHECK(write_ != MAP_FAILED && run_ != MAP_FAILED);
    close(fd);
  }
  ~CodePage() {
    munmap(write_, kPage);
    munmap(run_, kPage);
  }
  CodePage(const CodePage&) = delete;
  CodePage& operator=(const CodePage&) = delete;

  // The instruction and the RET behind it are `length` bytes.
  const uint8_t* find(const Insn& insn, unsigned& length) {
    uint8_t code[kSlot];
    std::fill_n(code, kSlot, uint8_t{0xcc});
    length = make(insn, code);
    unsigned hash = 0;
    for (unsigned i = 0; i < length; ++i) hash = hash * 31 + code[i];
    unsigned at = hash % kSlots * kSlot;
    if (!std::equal(code, code + kSlot, write_ + at)) {
      std::copy_n(code, kSlot, write_ + at);
      uint32_t eax = 0, ebx, ecx = 0, edx;
      // SAFETY: serialises, as code modified through another address requires (SDM vol. 3A 8.1.3).
      asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx) : : "memory");
    }
    return run_ + at;
  }

 private:
  static unsigned make(const Insn& insn, uint8_t* code) {
    const uint8_t* evex = evex_payload(insn);
    CHECK(evex != nullptr);
    unsigned n = 0;
    code[n++] = 0x62;
    code[n++] = evex[0] | 0x60;  // X and B, inverted: neither index nor base is extended
    code[n++] = evex[1];
    code[n++] = evex[2];
    code[n++] = insn.opcode;
    code[n++] = static_cast<uint8_t>((insn.modrm & 0x38) | 7);  // [rdi]
    if (insn.imm_bytes != 0) code[n++] = insn.raw[insn.imm_offset & 15];
    code[n++] = 0xc3;
    return n;
  }

  uint8_t* write_;
  uint8_t* run_;
};

// The instruction that runs (0: none), the RET behind it, and whether it has trapped: read and written by
// this thread and its signal handler.
thread_local volatile uintptr_t trap_at = 0, trap_resume = 0;
thread_local volatile bool trapped = false;

// SSE, AVX and AVX-512 state; x87 and PKRU stay as they are.
constexpr uint32_t kVectorState = 0xe6;

__attribute__((noinline)) void run_with_state(const uint8_t* code, uint8_t* image, void* memory) {
  uint32_t host_mxcsr;
  // SAFETY: the image is a 64-byte aligned standard-format XSAVE area in CpuState; the code touches vector
  // and mask registers and the 64 bytes at rdi only. 128 bytes of red zone are stepped over.
  asm volatile(
      "stmxcsr %[host]\n\t"
      "xrstor64 (%[image])\n\t"
      "lea -128(%%rsp), %%rsp\n\t"
      "call *%[code]\n\t"
      "lea 128(%%rsp), %%rsp\n\t"
      "xsave64 (%[image])\n\t"
      "vzeroupper\n\t"
      "ldmxcsr %[host]\n\t"
      : [host] "=m"(host_mxcsr)
      : [image] "r"(image), [code] "r"(code), "D"(memory), "a"(kVectorState), "d"(0)
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

}  // namespace

bool run_natively(Core& c, const Insn& insn, void* memory) {
  static thread_local CodePage page;
  unsigned length;
  const uint8_t* code = page.find(insn, length);
  trapped = false;
  trap_resume = reinterpret_cast<uintptr_t>(code) + length - 1;
  trap_at = reinterpret_cast<uintptr_t>(code);
  run_with_state(code, FpuImage(c).at(0), memory);
  trap_at = 0;
  if (!trapped) return true;
  return c.raise((c.s.cr4 & cpu::cr4::OSXMMEXCPT) != 0 ? vec::XM : vec::UD);
}

bool native_trap(uintptr_t pc, uintptr_t& resume) {
  if (trap_at == 0 || pc != trap_at) return false;
  trapped = true;
  resume = trap_resume;
  return true;
}

}  // namespace rhea::dbt::helpers
