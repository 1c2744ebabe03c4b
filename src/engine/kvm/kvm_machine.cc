#include "engine/kvm/kvm_machine.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace rhea::kvm {

namespace {

constexpr uint32_t kMaxSlots = 256;
// Three pages that KVM takes on Intel hosts for real mode, and one for its identity map: above all RAM below
// 4 GiB, below the firmware.
constexpr unsigned long kTssAddress = 0xfeffd000;
constexpr uint64_t kIdentityMapAddress = 0xfeffc000;

struct Need {
  int capability;
  const char* name;
};
constexpr Need kNeeds[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},       {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"}, {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},       {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
};

}  // namespace

Result<std::unique_ptr<KvmMachine>> KvmMachine::open() {
  std::unique_ptr<KvmMachine> machine(new KvmMachine);
  TRY_IN(machine->set_up(), "KVM");
  return machine;
}

KvmMachine::~KvmMachine() {
  if (vm_fd_ >= 0) ::close(vm_fd_);
  if (kvm_fd_ >= 0) ::close(kvm_fd_);
}

Result<> KvmMachine::set_up() {
  kvm_fd_ = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm_fd_ < 0) return fail_errno(errno, "/dev/kvm");
  if (::ioctl(kvm_fd_, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return fail(ErrorKind::Unsupported, "the host's API version is unknown");
  }
  for (const Need& need : kNeeds) {
    if (::ioctl(kvm_fd_, KVM_CHECK_EXTENSION, need.capability) <= 0) {
      return fail(ErrorKind::Unsupported, std::string("the host lacks ") + need.name);
    }
  }
  int bytes = ::ioctl(kvm_fd_, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (bytes < static_cast<int>(sizeof(kvm_run)))
    return fail(ErrorKind::Unsupported, "vCPU mapping too small");
  run_bytes_ = static_cast<uint64_t>(bytes);
  do {
    vm_fd_ = ::ioctl(kvm_fd_, KVM_CREATE_VM, 0);
  } while (vm_fd_ < 0 && errno == EINTR);
  if (vm_fd_ < 0) return fail_errno(errno, "KVM_CREATE_VM");
  uint64_t identity = kIdentityMapAddress;
  ::ioctl(vm_fd_, KVM_SET_IDENTITY_MAP_ADDR, &identity);  // AMD hosts do not need it
  ::ioctl(vm_fd_, KVM_SET_TSS_ADDR, kTssAddress);
  TRY(read_supported_cpuid());
  for (uint32_t n = kMaxSlots; n-- > 0;) free_numbers_.push_back(n);
  return {};
}

void KvmMachine::attach(memory::AddressSpace& memory) {
  memory_ = &memory;
  memory.on_change([this] { update_slots(); });
  update_slots();
}

Result<> KvmMachine::read_supported_cpuid() {
  // Doubled while too small, as some hosts refuse a count far above what they have.
  for (unsigned count = 64; count <= 1024; count *= 2) {
    std::vector<uint8_t> bytes(sizeof(kvm_cpuid2) + count * sizeof(kvm_cpuid_entry2));
    // SAFETY: the buffer holds the header and as many entries as nent says.
    auto* cpuid = reinterpret_cast<kvm_cpuid2*>(bytes.data());
    cpuid->nent = count;
    if (::ioctl(kvm_fd_, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
      supported_cpuid_.assign(cpuid->entries, cpuid->entries + std::min(cpuid->nent, count));
      return {};
    }
    if (errno != E2BIG) return fail_errno(errno, "KVM_GET_SUPPORTED_CPUID");
  }
  return fail(ErrorKind::Unsupported, "the host has too many CPUID leaves");
}

Result<int> KvmMachine::create_vcpu(unsigned index) {
  int fd = ::ioctl(vm_fd_, KVM_CREATE_VCPU, static_cast<unsigned long>(index));
  if (fd < 0) return fail_errno(errno, "KVM_CREATE_VCPU");
  return fd;
}

// Whole pages of RAM; the rest of a range is reached through exits.
std::vector<KvmMachine::Slot> KvmMachine::wanted_slots() const {
  std::vector<Slot> wanted;
  auto view = memory_->view();
  for (const memory::FlatRange& range : view->ranges) {
    if (range.ram == nullptr) continue;
    uint64_t skip = (kPageSize - (range.start & kPageMask)) & kPageMask;
    if (range.size <= skip || ((range.offset + skip) & kPageMask) != 0) continue;
    uint64_t size = (range.size - skip) & ~kPageMask;
    if (size == 0) continue;
    wanted.push_back({0, range.start + skip, size, range.ram->host() + range.offset + skip,
                      range.access == memory::RamAccess::ReadOnly});
  }
  return wanted;
}

void KvmMachine::set_slot(const Slot& slot, bool present) {
  kvm_userspace_memory_region region{};
  region.slot = slot.number;
  region.flags = slot.read_only ? KVM_MEM_READONLY : 0;
  region.guest_phys_addr = slot.gpa;
  region.memory_size = present ? slot.size : 0;
  region.userspace_addr = reinterpret_cast<uintptr_t>(slot.host);
  if (::ioctl(vm_fd_, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
    // Accesses then come as exits and are served by the address space: slow but right.
    log_warn("KVM: cannot map guest memory at {:#x} size {:#x}: {}", slot.gpa, slot.size,
             std::strerror(errno));
  }
}

void KvmMachine::update_slots() {
  std::vector<Slot> wanted = wanted_slots();
  std::vector<Slot> kept;
  for (const Slot& slot : slots_) {
    bool keep = std::any_of(wanted.begin(), wanted.end(), [&](const Slot& w) { return w.same_place(slot); });
    if (keep) {
      kept.push_back(slot);
    } else {
      set_slot(slot, false);
      free_numbers_.push_back(slot.number);
    }
  }
  for (Slot slot : wanted) {
    bool there = std::any_of(kept.begin(), kept.end(), [&](const Slot& k) { return k.same_place(slot); });
    if (there || free_numbers_.empty()) continue;
    slot.number = free_numbers_.back();
    free_numbers_.pop_back();
    set_slot(slot, true);
    kept.push_back(slot);
  }
  slots_ = std::move(kept);
}

}  // namespace rhea::kvm
