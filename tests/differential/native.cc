// The oracle. A case is entered by returning from a signal whose frame has been given the case's registers,
// and left by the signal that its last instruction (INT3) or a fault raises, whose frame holds the registers
// after it. That is the only way to load and save everything, RSP and the instruction pointer of another code
// segment included. Linux x86-64 only: arch/x86 signal frame with an XSAVE image, modify_ldt(2), FSGSBASE.
#include "native.h"

#include <asm/ldt.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <cstring>

#include "base/check.h"

namespace rhea::differential {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};
constexpr unsigned kSignalCount = sizeof kSignals / sizeof kSignals[0];
// What the handler works on; one case at a time.
struct Running {
  const Case* c;
  const Registers* before;
  Result* result;
  bool inside;
  uint64_t entered;   // cases so far
  uint64_t at_alarm;  // what that was when the timer last ran out
  ucontext_t host;
  alignas(64) uint8_t host_fp[kXsave];
};
Running running;

// What the handler's entry and end (below) exchange with it: the segment registers and the flags that neither
// a signal nor the return from it carries over. The case's while it is inside.
struct Segments {
  uint64_t fs_base, gs_base, flags;
  uint16_t es, ds, fs, gs;
};
extern "C" Segments rhea_differential_segments;
extern "C" uint64_t rhea_differential_host_fs;
Segments rhea_differential_segments;
uint64_t rhea_differential_host_fs;

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
  set_selectors(u, r.selector[kCs], r.selector[kSs]);
  rhea_differential_segments = {.fs_base = r.fs_base,
                                .gs_base = r.gs_base,
                                .flags = r.rflags,
                                .es = r.selector[kEs],
                                .ds = r.selector[kDs],
                                .fs = r.selector[kFs],
                                .gs = r.selector[kGs]};
  load_fp(u, r.xsave.data());
  running.inside = true;
  ++running.entered;
}

// Linux keeps the number of the processor in a segment's limit.
uint32_t per_cpu_limit() {
  uint32_t limit = 0;
  asm("lsl %1, %0" : "+r"(limit) : "r"(uint32_t{kPerCpu}) : "cc");
  return limit;
}

void leave_case(ucontext_t& u) {
  Result& out = *running.result;
  for (unsigned i = 0; i < 16; ++i)
    out.registers.gpr[i] = static_cast<uint64_t>(u.uc_mcontext.gregs[kGregOf[i]]);
  out.registers.rip = static_cast<uint64_t>(u.uc_mcontext.gregs[REG_RIP]);
  out.registers.rflags = static_cast<uint64_t>(u.uc_mcontext.gregs[REG_EFL]);
  save_fp(u, out.registers.xsave.data());
  auto selectors = static_cast<uint64_t>(u.uc_mcontext.gregs[REG_CSGSFS]);
  const Segments& s = rhea_differential_segments;
  out.registers.selector = {
      s.es, static_cast<uint16_t>(selectors), static_cast<uint16_t>(selectors >> 48), s.ds, s.fs, s.gs};
  out.registers.fs_base = s.fs_base;
  out.registers.gs_base = s.gs_base;
  out.per_cpu_limit = per_cpu_limit();
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
  rhea_differential_segments = {
      .fs_base = rhea_differential_host_fs, .gs_base = 0, .flags = 0, .es = 0, .ds = 0, .fs = 0, .gs = 0};
  running.inside = false;
}

// A case that does not end: with a 16-bit stack the upper half of RSP is not ours, and the kernel takes some
// faults on such addresses for its own business and tries again.
void stop_stuck_case(ucontext_t& u) {
  bool stuck = running.inside && running.at_alarm == running.entered;
  running.at_alarm = running.entered;
  if (!stuck) return;
  leave_case(u);
  running.result->event = {.vector = kStuck, .code = 0, .address = 0};
}

extern "C" void rhea_differential_signal(int signal, siginfo_t*, void* context) {
  auto& u = *static_cast<ucontext_t*>(context);
  if (signal == SIGALRM) {
    stop_stuck_case(u);
  } else if (running.inside) {
    leave_case(u);
  } else {
    enter_case(u);
  }
}

// The kernel keeps AC as it was, which C++ does not want, and ID and NT, which RT_SIGRETURN would carry into
// the next case; DS, ES, FS and GS are the case's, and C++ needs its own FS.
asm(R"(
  .text
  .type rhea_differential_handler, @function
rhea_differential_handler:
  endbr64
  pushfq
  andl $~0x244000, (%rsp)
  popfq
  lea rhea_differential_segments(%rip), %rcx
  mov %es, 24(%rcx)
  mov %ds, 26(%rcx)
  mov %fs, 28(%rcx)
  mov %gs, 30(%rcx)
  rdfsbase %rax
  mov %rax, (%rcx)
  rdgsbase %rax
  mov %rax, 8(%rcx)
  xor %eax, %eax
  mov %eax, %fs
  mov rhea_differential_host_fs(%rip), %rax
  wrfsbase %rax
  sub $8, %rsp
  call rhea_differential_signal
  add $8, %rsp
  lea rhea_differential_segments(%rip), %rcx
  mov 24(%rcx), %es
  mov 26(%rcx), %ds
  mov 28(%rcx), %fs
  mov 30(%rcx), %gs
  mov (%rcx), %rax
  wrfsbase %rax
  mov 8(%rcx), %rax
  wrgsbase %rax
  mov 16(%rcx), %rax
  and $0x204000, %eax
  pushfq
  or %rax, (%rsp)
  popfq
  ret
)");
extern "C" void rhea_differential_handler(int, siginfo_t*, void*);

void set_descriptor(const ldt::Entry& e) {
  bool code = e.kind == ldt::Kind::Code || e.kind == ldt::Kind::ExecuteOnly;
  user_desc d{};
  d.entry_number = e.selector >> 3;
  d.base_addr = static_cast<uint32_t>(e.base);
  d.limit = e.limit;
  d.seg_32bit = e.big;
  d.contents = code                              ? MODIFY_LDT_CONTENTS_CODE
               : e.kind == ldt::Kind::ExpandDown ? MODIFY_LDT_CONTENTS_STACK
                                                 : MODIFY_LDT_CONTENTS_DATA;
  d.read_exec_only = e.kind == ldt::Kind::ReadOnly || e.kind == ldt::Kind::ExecuteOnly;
  d.limit_in_pages = e.pages;
  d.seg_not_present = !e.present;
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
  uint64_t last_offset = 0, last_size = 0;  // of the case before
};

Native::Native() : impl_(std::make_unique<Impl>()) {
  constexpr size_t kStackBytes = 256 << 10;
  impl_->stack = static_cast<uint8_t*>(
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(impl_->stack != MAP_FAILED);
  int fd = memfd_create("differential", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, layout::kCodeBytes + layout::kWindowBytes) == 0);
  impl_->code = map(fd, 0, layout::kCode, layout::kCodeBytes, PROT_READ | PROT_EXEC);
  impl_->window =
      map(fd, layout::kCodeBytes, layout::kWritable, layout::kWindowBytes, PROT_READ | PROT_WRITE);
  close(fd);
  CHECK(mprotect(reinterpret_cast<void*>(layout::kReadOnly), layout::kPage, PROT_READ) == 0);
  // Present, so that a store to it says so.
  for (unsigned i = 0; i < layout::kMappedPages; ++i) {
    static_cast<void>(*reinterpret_cast<volatile uint8_t*>(layout::kWritable + i * layout::kPage));
  }
  for (const ldt::Entry& e : ldt::kEntries) set_descriptor(e);
  // SAFETY: Linux says in HWCAP2 bit 1 that programs may use RDFSBASE.
  CHECK((getauxval(AT_HWCAP2) & 2) != 0);
  asm("rdfsbase %0" : "=r"(rhea_differential_host_fs));
  std::memset(impl_->code, 0xcc, layout::kCodeBytes);
}

Native::~Native() {
  munmap(reinterpret_cast<void*>(layout::kCode), layout::kCodeBytes);
  munmap(reinterpret_cast<void*>(layout::kWritable), layout::kWindowBytes);
  munmap(impl_->code, layout::kCodeBytes);
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
  constexpr timeval kPatience = {.tv_sec = 1, .tv_usec = 0};
  itimerval timer{.it_interval = kPatience, .it_value = kPatience};
  CHECK(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
}

void Native::detach() {
  itimerval off{};
  CHECK(setitimer(ITIMER_REAL, &off, nullptr) == 0);
  for (unsigned i = 0; i < kSignalCount; ++i) CHECK(sigaction(kSignals[i], &impl_->before[i], nullptr) == 0);
  if ((impl_->stack_before.ss_flags & SS_DISABLE) == 0) sigaltstack(&impl_->stack_before, nullptr);
}

void Native::run(const Case& c, const Registers& before, const Window& window, Result& result) {
  CHECK(c.code_offset + c.code.size() <= layout::kCodeBytes);
  std::memset(impl_->code + impl_->last_offset, 0xcc, impl_->last_size);
  std::memcpy(impl_->code + layout::kPad, kPadCode.data(), kPadCode.size());
  std::memcpy(impl_->code + c.code_offset, c.code.data(), c.code.size());
  impl_->last_offset = c.code_offset;
  impl_->last_size = c.code.size();
  std::memcpy(impl_->window, window.data(), window.size());
  running.c = &c;
  running.before = &before;
  running.result = &result;
  running.inside = false;
  // The trap's handler enters the case; the case's own trap comes back behind it.
  asm volatile("int3" : : : "memory", "cc");
  std::memcpy(result.window.data(), impl_->window, window.size());
}

}  // namespace rhea::differential
