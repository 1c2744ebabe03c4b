// The oracle. A case is entered by returning from a signal whose frame has been given the case's registers,
// and left by the signal that its last instruction (INT3) or a fault raises, whose frame holds the registers
// after it. That is the only way to load and save everything, RSP and the instruction pointer of another code
// segment included. Linux x86-64 only: arch/x86 signal frame with an XSAVE image, modify_ldt(2). The handler
// runs with the case's GS.
#include "native.h"

#include <asm/ldt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"

namespace rhea::differential {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
constexpr unsigned kSignalCount = sizeof kSignals / sizeof kSignals[0];
constexpr uint16_t kUserCode64 = 0x33, kUserData = 0x2b, kUserCode32 = 0x23;

// What the handler works on; one case at a time.
struct Running {
  const Case* c;
  const Registers* before;
  Result* result;
  bool inside;
  ucontext_t host;
  alignas(64) uint8_t host_fp[kXsave];
};
Running running;

uint16_t code_selector(Mode mode) {
  switch (mode) {
    case Mode::Long64: return kUserCode64;
    case Mode::Flat32: return kUserCode32;
    case Mode::Segmented32: return ldt::kCode32;
    case Mode::Segmented16: return ldt::kCode16;
  }
  return 0;
}

uint16_t stack_selector(Mode mode) {
  return mode == Mode::Segmented16 ? ldt::kStack16 : mode == Mode::Segmented32 ? ldt::kStack32 : kUserData;
}

uint16_t data_selector(Mode mode) {
  return mode == Mode::Segmented16 ? ldt::kData16 : mode == Mode::Segmented32 ? ldt::kData32 : kUserData;
}

constexpr int kGregOf[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

void set_selectors(ucontext_t& u, uint16_t cs, uint16_t ss) {
  auto& word = u.uc_mcontext.gregs[REG_CSGSFS];
  word = static_cast<greg_t>((static_cast<uint64_t>(word) & 0x0000ffffffff0000) | cs | uint64_t{ss} << 48);
}

// SAFETY (this and the next): fpregs points to the frame's XSAVE image, whose size the kernel states in its
// software- reserved bytes; kXsave bounds ours.
unsigned image_bytes(const ucontext_t& u) {
  const auto* fp = reinterpret_cast<const uint8_t*>(u.uc_mcontext.fpregs);
  uint32_t size;
  std::memcpy(&size, fp + 464 + 16, 4);  // struct _fpx_sw_bytes: xstate_size
  return size <= kXsave && size >= 576 ? size : 576;
}

void load_fp(ucontext_t& u, const uint8_t* image) {
  auto* fp = reinterpret_cast<uint8_t*>(u.uc_mcontext.fpregs);
  std::memcpy(fp, image, 464);
  std::memcpy(fp + 512, image + 512, image_bytes(u) - 512);
}

void save_fp(const ucontext_t& u, uint8_t* image) {
  const auto* fp = reinterpret_cast<const uint8_t*>(u.uc_mcontext.fpregs);
  std::memset(image, 0, kXsave);
  std::memcpy(image, fp, 464);
  std::memcpy(image + 512, fp + 512, image_bytes(u) - 512);
}

void enter_case(ucontext_t& u) {
  const Registers& r = *running.before;
  running.host = u;
  save_fp(u, running.host_fp);
  for (unsigned i = 0; i < 16; ++i) u.uc_mcontext.gregs[kGregOf[i]] = static_cast<greg_t>(r.gpr[i]);
  u.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(r.rip);
  u.uc_mcontext.gregs[REG_EFL] = static_cast<greg_t>(r.rflags);
  set_selectors(u, code_selector(running.c->mode), stack_selector(running.c->mode));
  load_fp(u, r.xsave.data());
  running.inside = true;
}

void leave_case(ucontext_t& u) {
  Result& out = *running.result;
  for (unsigned i = 0; i < 16; ++i)
    out.registers.gpr[i] = static_cast<uint64_t>(u.uc_mcontext.gregs[kGregOf[i]]);
  out.registers.rip = static_cast<uint64_t>(u.uc_mcontext.gregs[REG_RIP]);
  out.registers.rflags = static_cast<uint64_t>(u.uc_mcontext.gregs[REG_EFL]);
  save_fp(u, out.registers.xsave.data());
  auto vector = static_cast<uint8_t>(u.uc_mcontext.gregs[REG_TRAPNO]);
  out.event = {.vector = vector,
               .code = static_cast<uint32_t>(u.uc_mcontext.gregs[REG_ERR]),
               .address = vector == 14 ? static_cast<uint64_t>(u.uc_mcontext.gregs[REG_CR2]) : 0};
  fpregset_t fp = u.uc_mcontext.fpregs;
  sigset_t mask = u.uc_sigmask;
  u = running.host;
  u.uc_mcontext.fpregs = fp;
  u.uc_sigmask = mask;
  load_fp(u, running.host_fp);
  running.inside = false;
}

extern "C" void rhea_differential_signal(int, siginfo_t*, void* context) {
  auto& u = *static_cast<ucontext_t*>(context);
  if (running.inside) {
    leave_case(u);
  } else {
    enter_case(u);
  }
}

// The kernel keeps AC as it was, which C++ does not want, and ID and NT, which RT_SIGRETURN would carry into
// the next case. DS and ES stay the case's: 64-bit code does not look at them.
asm(R"(
  .text
  .type rhea_differential_handler, @function
rhea_differential_handler:
  endbr64
  pushfq
  andl $~0x244000, (%rsp)
  popfq
  jmp rhea_differential_signal
)");
extern "C" void rhea_differential_handler(int, siginfo_t*, void*);

void set_descriptor(unsigned entry, uint64_t base, uint32_t limit, bool wide, bool code, bool expand_down) {
  user_desc d{};
  d.entry_number = entry;
  d.base_addr = static_cast<uint32_t>(base);
  d.limit = limit;
  d.seg_32bit = wide;
  d.contents = code          ? MODIFY_LDT_CONTENTS_CODE
               : expand_down ? MODIFY_LDT_CONTENTS_STACK
                             : MODIFY_LDT_CONTENTS_DATA;
  d.read_exec_only = 0;
  d.limit_in_pages = 0;
  d.useable = 1;
  CHECK(syscall(SYS_modify_ldt, 0x11, &d, sizeof d) == 0);
}

// Maps pages of the file at a fixed address with the case's rights, and returns them writable elsewhere.
uint8_t* map(int fd, uint64_t offset, uint64_t at, uint64_t bytes, int protection) {
  // SAFETY: NOREPLACE, so nothing of the process is lost.
  void* got = mmap(reinterpret_cast<void*>(at), bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
                   static_cast<off_t>(offset));
  CHECK(got == reinterpret_cast<void*>(at));
  void* alias = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset));
  CHECK(alias != MAP_FAILED);
  return static_cast<uint8_t*>(alias);
}

}  // namespace

struct Native::Impl {
  struct sigaction before[kSignalCount];
  stack_t stack_before;
  uint8_t* stack;
  uint8_t* code;
  uint8_t* window;
};

Native::Native() : impl_(std::make_unique<Impl>()) {
  constexpr size_t kStackBytes = 256 << 10;
  impl_->stack = static_cast<uint8_t*>(
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(impl_->stack != MAP_FAILED);
  int fd = memfd_create("differential", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, layout::kPage + layout::kWindowBytes) == 0);
  impl_->code = map(fd, 0, layout::kCode, layout::kPage, PROT_READ | PROT_EXEC);
  impl_->window = map(fd, layout::kPage, layout::kWritable, layout::kWindowBytes, PROT_READ | PROT_WRITE);
  close(fd);
  CHECK(mprotect(reinterpret_cast<void*>(layout::kReadOnly), layout::kPage, PROT_READ) == 0);
  // Present, so that a store to it says so.
  for (unsigned i = 0; i < layout::kMappedPages; ++i) {
    static_cast<void>(*reinterpret_cast<volatile uint8_t*>(layout::kWritable + i * layout::kPage));
  }
  set_descriptor(ldt::kCode16 >> 3, layout::kCode, 0xffff, false, true, false);
  set_descriptor(ldt::kData16 >> 3, layout::kWritable, layout::kWindowBytes - 1, false, false, false);
  set_descriptor(ldt::kStack16 >> 3, layout::kWritable, 0xffff, false, false, false);
  set_descriptor(ldt::kCode32 >> 3, layout::kCode - 0x1000, 0xffff, true, true, false);
  set_descriptor(ldt::kData32 >> 3, layout::kWritable - 0x1000, layout::kWindowBytes + 0xfff - 0x800, true,
                 false, false);
  set_descriptor(ldt::kStack32 >> 3, layout::kWritable - 0x2000, 0x2fff, true, false, true);
}

Native::~Native() {
  munmap(reinterpret_cast<void*>(layout::kCode), layout::kPage);
  munmap(reinterpret_cast<void*>(layout::kWritable), layout::kWindowBytes);
  munmap(impl_->code, layout::kPage);
  munmap(impl_->window, layout::kWindowBytes);
  munmap(impl_->stack, 256 << 10);
}

void Native::attach() {
  stack_t s{.ss_sp = impl_->stack, .ss_flags = 0, .ss_size = 256 << 10};
  CHECK(sigaltstack(&s, &impl_->stack_before) == 0);
  struct sigaction action {};
  action.sa_sigaction = rhea_differential_handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (unsigned i = 0; i < kSignalCount; ++i) CHECK(sigaction(kSignals[i], &action, &impl_->before[i]) == 0);
}

void Native::detach() {
  for (unsigned i = 0; i < kSignalCount; ++i) CHECK(sigaction(kSignals[i], &impl_->before[i], nullptr) == 0);
  if ((impl_->stack_before.ss_flags & SS_DISABLE) == 0) sigaltstack(&impl_->stack_before, nullptr);
}

void Native::run(const Case& c, const Registers& before, const Window& window, Result& result) {
  CHECK(c.code_offset + c.code.size() <= layout::kPage);
  std::memset(impl_->code, 0xcc, layout::kPage);
  std::memcpy(impl_->code + c.code_offset, c.code.data(), c.code.size());
  std::memcpy(impl_->window, window.data(), window.size());
  running.c = &c;
  running.before = &before;
  running.result = &result;
  running.inside = false;
  uint16_t segment = data_selector(c.mode);
  // The trap's handler enters the case; the case's own trap comes back behind it.
  asm volatile("mov %0, %%ds\n\tmov %0, %%es\n\tint3\n\t" : : "r"(segment) : "memory", "cc");
  std::memcpy(result.window.data(), impl_->window, window.size());
}

}  // namespace rhea::differential
