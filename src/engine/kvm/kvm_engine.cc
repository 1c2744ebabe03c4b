#include "engine/kvm/kvm_engine.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::kvm {

using namespace cpu;

namespace {

// Interrupts KVM_RUN; its handler does nothing.
int kick_signal() {
  return SIGRTMIN + 1;
}

void install_kick_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(kick_signal(), &action, nullptr);
  });
}

// The feature words that the host's KVM must also offer. Other leaves (topology, caches, names) are the
// model's own.
bool is_feature_leaf(uint32_t leaf) {
  return leaf == 1 || leaf == 7 || leaf == 0x80000001 || leaf == 0x80000008;
}

void mask_features(const std::vector<kvm_cpuid_entry2>& supported, kvm_cpuid_entry2& e) {
  auto host = std::find_if(supported.begin(), supported.end(), [&](const kvm_cpuid_entry2& h) {
    return h.function == e.function &&
           (h.index == e.index || (h.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0);
  });
  bool known = host != supported.end();
  switch (e.function) {
    case 1:
      e.ecx &= known ? (host->ecx | kAlwaysThere) & ~kWithoutKernelApic : 0;
      e.edx &= known ? host->edx | kHyperThreading : 0;
      break;
    case 7:
      e.ebx &= known ? host->ebx : 0;
      e.ecx &= known ? host->ecx : 0;
      e.edx &= known ? host->edx : 0;
      break;
    case 0x80000001:
      e.ecx &= known ? host->ecx : 0;
      e.edx &= known ? host->edx : 0;
      break;
    default: e.ebx &= known ? host->ebx : 0; break;
  }
}

}  // namespace

Result<std::unique_ptr<KvmEngine>> KvmEngine::create(KvmMachine& machine, unsigned index) {
  int fd = TRY_IN(machine.create_vcpu(index), "KVM");
  std::unique_ptr<KvmEngine> engine(new KvmEngine(machine, index, fd));
  TRY_IN(engine->set_up(), "KVM");
  return engine;
}

KvmEngine::KvmEngine(KvmMachine& machine, unsigned index, int fd) : machine_(machine), fd_(fd), sync_(fd) {
  core_.index = index;
  core_.engine = this;
  paging_create(core_);
}

KvmEngine::~KvmEngine() {
  if (run_ != nullptr) ::munmap(run_, machine_.run_bytes());
  ::close(fd_);
  paging_destroy(core_);
}

Result<> KvmEngine::set_up() {
  install_kick_handler();
  // SAFETY: KVM shares its run structure through this mapping, run_bytes() long.
  void* at = ::mmap(nullptr, machine_.run_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) return fail_errno(errno, "vCPU mapping");
  run_ = static_cast<kvm_run*>(at);
  return {};
}

void KvmEngine::set_cpuid() {
  if (cpuid_set_) return;
  cpuid_set_ = true;
  std::vector<kvm_cpuid_entry2> entries;
  if (core_.cpuid == nullptr) {
    entries = machine_.supported_cpuid();
    for (kvm_cpuid_entry2& e : entries) mask_features(machine_.supported_cpuid(), e);
  } else {
    for (unsigned i = 0; i < core_.cpuid->count; ++i) {
      const CpuidTable::Entry& entry = core_.cpuid->entries[i];
      CpuidRegs r = query_cpuid(core_, entry.leaf, entry.subleaf);
      kvm_cpuid_entry2 e{};
      e.function = entry.leaf;
      e.index = entry.subleaf;
      e.flags = entry.any_subleaf ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
      e.eax = r.eax;
      e.ebx = r.ebx;
      e.ecx = r.ecx;
      e.edx = r.edx;
      if (is_feature_leaf(e.function)) mask_features(machine_.supported_cpuid(), e);
      entries.push_back(e);
    }
  }
  std::vector<uint8_t> bytes(sizeof(kvm_cpuid2) + entries.size() * sizeof(kvm_cpuid_entry2));
  // SAFETY: the buffer holds the header and entries.size() entries.
  auto* cpuid = reinterpret_cast<kvm_cpuid2*>(bytes.data());
  cpuid->nent = static_cast<uint32_t>(entries.size());
  std::copy(entries.begin(), entries.end(), cpuid->entries);
  if (::ioctl(fd_, KVM_SET_CPUID2, cpuid) < 0) log_warn("KVM: KVM_SET_CPUID2: {}", std::strerror(errno));
}

void KvmEngine::kick() {
  // SAFETY: KVM reads this byte when it enters the guest; a byte store is whole.
  reinterpret_cast<std::atomic<uint8_t>*>(&run_->immediate_exit)->store(1);
  int thread = thread_.load();
  // A vCPU that kicks itself looks at its pending word anyway before it enters the guest again.
  static thread_local const int self = static_cast<int>(::syscall(SYS_gettid));
  if (thread != 0 && thread != self) ::syscall(SYS_tgkill, ::getpid(), thread, kick_signal());
}

void KvmEngine::pull() {
  sync_.pull(core_.s);
}

void KvmEngine::push() {
  set_cpuid();
  sync_.push(core_.s);
}

// A step never stops at the breakpoint under it.
void KvmEngine::set_debug(const DebugRequest* request) {
  request_ = request;
  stepping_over_ = false;
  bool step = request != nullptr && request->single_step;
  apply_debug(step, !step);
}

void KvmEngine::apply_debug(bool step, bool code_points) {
  kvm_guest_debug debug{};
  if (request_ != nullptr) debug.control = KVM_GUESTDBG_ENABLE | (step ? KVM_GUESTDBG_SINGLESTEP : 0u);
  unsigned used = request_ != nullptr ? std::min(request_->count, 4u) : 0;
  for (unsigned i = 0; i < used; ++i) {
    const DebugRequest::Point& point = request_->points[i];
    using Kind = DebugRequest::Point::Kind;
    bool execute = point.kind == Kind::Execute;
    if (execute && !code_points) continue;
    uint64_t type = execute ? 0 : point.kind == Kind::Write ? 1 : 3;
    uint64_t length = execute ? 0 : point.length == 8 ? 2 : (point.length - 1) & 3;
    debug.arch.debugreg[i] = point.linear;
    debug.arch.debugreg[7] |= (uint64_t{2} << (i * 2)) | ((type | length << 2) << (16 + i * 4)) | 0x600;
    debug.control |= KVM_GUESTDBG_USE_HW_BP;
  }
  if (::ioctl(fd_, KVM_SET_GUEST_DEBUG, &debug) < 0)
    log_warn("KVM: KVM_SET_GUEST_DEBUG: {}", std::strerror(errno));
}

bool KvmEngine::can_execute() const {
  return core_.s.halted == 0;
}

// A halted vCPU goes on with an NMI or with an interrupt that its IF lets through.
bool KvmEngine::wake_up() {
  if (can_execute()) return true;
  if (core_.s.wait_for_sipi != 0) return false;
  bool interrupt = run_->if_flag != 0 && core_.apic != nullptr && core_.apic->deliverable();
  bool nmi = (core_.pending.load() & pending::kNmi) != 0;
  if (!interrupt && !nmi) return false;
  core_.s.halted = 0;
  return true;
}

Exit KvmEngine::run() {
  static thread_local const int self = static_cast<int>(::syscall(SYS_gettid));
  thread_.store(self);
  Exit exit = Exit::Kicked;
  if (std::exchange(at_code_point_, false) && request_ != nullptr && !request_->single_step) {
    stepping_over_ = true;
    apply_debug(true, false);
  }
  for (;;) {
    reinterpret_cast<std::atomic<uint8_t>*>(&run_->immediate_exit)->store(0);
    if (handle_pending(exit)) break;
    const bool was_halted = !can_execute();
    if (!wake_up()) {
      exit = Exit::Halted;
      break;
    }
    // A debugger's step executes the instruction that it sees, not an interrupt handler's first one.
    const bool stepping = stepping_over_ || (request_ != nullptr && request_->single_step);
    prepare_entry(!stepping || was_halted);
    enter();
    if (handle_exit(exit)) break;
  }
  finish_access();
  thread_.store(0);
  return exit;
}

// True: leave run() with `exit`.
bool KvmEngine::handle_pending(Exit& exit) {
  uint32_t bits = core_.pending.load();
  if (bits == 0) return false;
  // What needs no more than looking again, which prepare_entry() does on every entry.
  core_.pending.fetch_and(~(pending::kInterrupt | pending::kTimer | pending::kTlbFlush | pending::kEngine |
                            pending::kShadow | pending::kSmi));
  if ((bits & pending::kExit) != 0) {
    core_.pending.fetch_and(~pending::kExit);
    exit = Exit::Kicked;
    return true;
  }
  if ((bits & pending::kInit) != 0) handle_init();
  if ((bits & pending::kSipi) != 0) handle_sipi();
  return false;
}

void KvmEngine::handle_init() {
  core_.pending.fetch_and(~(pending::kInit | pending::kNmi));
  finish_access();
  pull();
  reset_core(core_, false);
  if (core_.apic != nullptr) core_.apic->init();
  constexpr uint64_t kBootstrap = 1 << 8;  // IA32_APIC_BASE.BSP
  bool bootstrap = (core_.s.apic_base & kBootstrap) != 0;
  core_.s.wait_for_sipi = !bootstrap;
  core_.s.halted = !bootstrap;
  push();
}

void KvmEngine::handle_sipi() {
  core_.pending.fetch_and(~pending::kSipi);
  if (core_.s.wait_for_sipi == 0) return;
  finish_access();
  uint8_t vector = core_.sipi_vector;
  core_.s.wait_for_sipi = 0;
  core_.s.halted = 0;
  core_.s.seg[CS].selector = static_cast<uint16_t>(vector << 8);
  core_.s.seg[CS].base = static_cast<uint64_t>(vector) << 12;
  core_.s.rip = 0;
  push();
}

bool KvmEngine::inject_interrupt() {
  int vector = core_.apic->acknowledge();
  if (vector < 0) return false;
  kvm_interrupt interrupt{static_cast<uint32_t>(vector)};
  if (::ioctl(fd_, KVM_INTERRUPT, &interrupt) < 0) {
    log_warn("KVM: KVM_INTERRUPT {:#x}: {}", vector, std::strerror(errno));
  }
  return true;
}

void KvmEngine::prepare_entry(bool may_interrupt) {
  if (may_interrupt && (core_.pending.load() & pending::kNmi) != 0) {
    core_.pending.fetch_and(~pending::kNmi);
    ::ioctl(fd_, KVM_NMI);
  }
  run_->request_interrupt_window = 0;
  if (core_.apic == nullptr) return;
  if (may_interrupt && core_.apic->deliverable()) {
    // An IN or MMIO read in flight must end before anything is injected; ready_for_interrupt_injection says
    // so.
    if (run_->ready_for_interrupt_injection != 0 && run_->if_flag != 0) inject_interrupt();
    run_->request_interrupt_window = core_.apic->deliverable() ? 1 : 0;
  }
  run_->cr8 = core_.apic->tpr() >> 4;
  run_->apic_base = core_.s.apic_base;
}

void KvmEngine::enter() {
  int result = ::ioctl(fd_, KVM_RUN, 0);
  int error = errno;
  access_open_ = false;
  if (result < 0) {
    run_->exit_reason = KVM_EXIT_INTR;
    if (error != EINTR && error != EAGAIN) {
      log_error("KVM: KVM_RUN: {}", std::strerror(error));
      run_->exit_reason = KVM_EXIT_SHUTDOWN;
    }
  }
  if (core_.apic == nullptr) return;
  auto cr8 = static_cast<uint8_t>(run_->cr8 & 0xf);
  if (cr8 != core_.apic->tpr() >> 4) core_.apic->set_tpr(static_cast<uint8_t>(cr8 << 4));
  if (run_->apic_base != core_.s.apic_base && core_.apic->write_msr(0x1b, run_->apic_base)) {
    core_.s.apic_base = run_->apic_base;
  }
}

// KVM takes the result of a read only when it is entered again: do so without running the guest.
void KvmEngine::finish_access() {
  if (!access_open_) return;
  access_open_ = false;
  auto* immediate = reinterpret_cast<std::atomic<uint8_t>*>(&run_->immediate_exit);
  uint8_t kicked = immediate->exchange(1);
  // An access that crosses pages ends in pieces, each its own exit.
  while (::ioctl(fd_, KVM_RUN, 0) == 0 &&
         (run_->exit_reason == KVM_EXIT_MMIO || run_->exit_reason == KVM_EXIT_IO)) {
    if (run_->exit_reason == KVM_EXIT_MMIO) {
      handle_mmio();
    } else {
      handle_io();
    }
  }
  access_open_ = false;
  immediate->store(kicked);
}

bool KvmEngine::handle_exit(Exit& exit) {
  switch (run_->exit_reason) {
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR: return false;
    case KVM_EXIT_IO: handle_io(); return false;
    case KVM_EXIT_MMIO: handle_mmio(); return false;
    case KVM_EXIT_HLT: core_.s.halted = 1; return false;
    case KVM_EXIT_DEBUG:
      if (!handle_debug()) return false;
      exit = Exit::Debug;
      return true;
    case KVM_EXIT_SHUTDOWN: exit = Exit::TripleFault; return true;
    case KVM_EXIT_FAIL_ENTRY:
      log_error("KVM: entry failed, hardware reason {:#x}", run_->fail_entry.hardware_entry_failure_reason);
      exit = Exit::TripleFault;
      return true;
    case KVM_EXIT_INTERNAL_ERROR:
      pull();
      log_error("KVM: internal error {} at {:#x}:{:#x}", run_->internal.suberror, core_.s.seg[CS].base,
                core_.s.rip);
      exit = Exit::TripleFault;
      return true;
    default:
      log_error("KVM: unexpected exit {}", run_->exit_reason);
      exit = Exit::TripleFault;
      return true;
  }
}

void KvmEngine::handle_io() {
  auto* data = reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset;
  unsigned size = run_->io.size;
  bool in = run_->io.direction == KVM_EXIT_IO_IN;
  uint16_t port = run_->io.port;
  const bool registers = core_.register_port != 0 && port == core_.register_port;
  if (registers) sync_.pull_general(core_.s);
  for (uint32_t i = 0; i < run_->io.count; ++i, data += size) {
    uint64_t value = 0;
    if (in) {
      value = core_.ports->load(port, size);
      std::memcpy(data, &value, size);
    } else {
      std::memcpy(&value, data, size);
      core_.ports->store(port, size, value);
    }
  }
  if (registers) sync_.push_general(core_.s);
  access_open_ = true;
}

// The local APIC's page is the vCPU's own: no address space that all vCPUs share can hold it.
bool KvmEngine::at_local_apic(uint64_t gpa) const {
  return core_.apic != nullptr && (core_.s.apic_base & 0x800) != 0 &&
         ((gpa ^ core_.s.apic_base) & ~uint64_t{0xfff}) == 0;
}

void KvmEngine::handle_mmio() {
  uint32_t length = std::min<uint32_t>(run_->mmio.len, 8);
  bool apic = at_local_apic(run_->mmio.phys_addr);
  for (uint32_t done = 0; done < length;) {
    unsigned n = std::bit_floor(length - done);
    uint64_t value = 0;
    if (run_->mmio.is_write != 0) {
      std::memcpy(&value, run_->mmio.data + done, n);
      if (!apic || !core_.apic->store((run_->mmio.phys_addr + done) & 0xfff, n, value)) {
        core_.memory->store(run_->mmio.phys_addr + done, n, value);
      }
    } else {
      if (!apic || !core_.apic->load((run_->mmio.phys_addr + done) & 0xfff, n, value)) {
        value = core_.memory->load(run_->mmio.phys_addr + done, n);
      }
      std::memcpy(run_->mmio.data + done, &value, n);
    }
    done += n;
  }
  access_open_ = true;
}

// False: only a breakpoint was stepped over.
bool KvmEngine::handle_debug() {
  const kvm_debug_exit_arch& arch = run_->debug.arch;
  hit_ = {};
  unsigned used = request_ != nullptr ? std::min(request_->count, 4u) : 0;
  for (unsigned i = 0; i < used; ++i) {
    if ((arch.dr6 >> i & 1) == 0) continue;
    bool execute = request_->points[i].kind == DebugRequest::Point::Kind::Execute;
    hit_.kind = execute ? DebugHit::Kind::Execute : DebugHit::Kind::Watch;
    hit_.linear = request_->points[i].linear;
  }
  at_code_point_ = hit_.kind == DebugHit::Kind::Execute;
  if (std::exchange(stepping_over_, false)) {
    apply_debug(false, true);
    return hit_.kind != DebugHit::Kind::Step;
  }
  return true;
}

}  // namespace rhea::kvm
