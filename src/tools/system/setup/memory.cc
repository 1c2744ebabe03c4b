// Linux: open(2) O_TMPFILE, memfd_create(2), fcntl(2) F_ADD_SEALS, mmap(2). Missing: host NUMA policies.
#include "tools/system/setup/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/failf.h"

namespace rhea::system {

namespace {

constexpr unsigned kHugeSizeShift = 26;  // MFD_HUGE_SHIFT of <linux/memfd.h>

std::string why() {
  return std::generic_category().message(errno);
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// A nameless file in the folder, which it leaves with the process.
int open_nameless(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string name = folder + "/guest-memory.XXXXXX";
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

Result<Fd> open_file(const MemoryObject& object) {
  struct stat info {};
  const bool folder = ::stat(object.path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  Fd fd(folder ? open_nameless(object.path)
               : ::open(object.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0)
    return failf(ErrorKind::Io, "can't open backing store {} for guest RAM: {}", object.path, why());
  if (!S_ISREG(info.st_mode))
    return failf(ErrorKind::Invalid, "backing store {} is not a regular file", object.path);
  const auto length = static_cast<uint64_t>(info.st_size);
  if (length != 0 && length < object.size) {
    return failf(ErrorKind::Invalid, "backing store size {:#x} does not match 'size' option {:#x}", length,
                 object.size);
  }
  if (length == 0 && ::ftruncate(fd.get(), static_cast<off_t>(object.size)) != 0)
    return failf(ErrorKind::NoSpace, "can't make backing store {} {} bytes long: {}", object.path,
                 object.size, why());
  return fd;
}

Result<Fd> open_memfd(const MemoryObject& object) {
  unsigned flags = MFD_CLOEXEC;
  if (object.seal) flags |= MFD_ALLOW_SEALING;
  if (object.hugetlb) flags |= MFD_HUGETLB;
  if (object.hugetlb_size) {
    if (object.size % *object.hugetlb_size != 0)
      return failf(ErrorKind::Invalid, "memory size {:#x} is no multiple of the huge page size {:#x}",
                   object.size, *object.hugetlb_size);
    flags |= static_cast<unsigned>(std::countr_zero(*object.hugetlb_size)) << kHugeSizeShift;
  }
  Fd fd(::memfd_create("memory-backend-memfd", flags));
  if (fd.get() < 0) return failf(ErrorKind::Io, "can't make a memfd for guest RAM: {}", why());
  if (::ftruncate(fd.get(), static_cast<off_t>(object.size)) != 0)
    return failf(ErrorKind::NoSpace, "can't make a memfd of {} bytes for guest RAM: {}", object.size, why());
  if (object.seal && ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    return failf(ErrorKind::Io, "can't seal a memfd for guest RAM: {}", why());
  return fd;
}

Result<Fd> open_store(const MemoryObject& object) {
  switch (object.kind) {
    case MemoryKind::Ram: return Fd(-1);
    case MemoryKind::File: return open_file(object);
    case MemoryKind::Memfd: break;
  }
  return open_memfd(object);
}

Result<std::shared_ptr<memory::RamBlock>> make_memory(const MemoryObject& object,
                                                      const MachineOptions& machine) {
  const Fd store = TRY(open_store(object));  // the mapping outlives it
  std::shared_ptr<memory::RamBlock> block =
      TRY(memory::RamBlock::create(object.id, object.size,
                                   {.fd = store.get(),
                                    .shared = object.share.value_or(object.kind == MemoryKind::Memfd),
                                    .reserve = object.reserve,
                                    .discard = object.discard_data}));
  block->advise(object.merge.value_or(machine.mem_merge), object.dump.value_or(machine.dump_guest_core));
  if (object.prealloc) TRY(block->populate(object.prealloc_threads));
  return block;
}

}  // namespace

Result<Memories> make_memories(const SystemOptions& options, machine::PcConfig& config) {
  Memories all;
  for (const MemoryObject& object : options.objects.memories) {
    all.push_back(TRY_IN(make_memory(object, options.machine), "memory backend " + object.id));
    if (object.id == options.machine.memory_backend) config.ram = all.back();
  }
  return all;
}

}  // namespace rhea::system
