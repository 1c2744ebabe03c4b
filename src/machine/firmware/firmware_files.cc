// See firmware_files.h.
#include "machine/firmware/firmware_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace rhea::machine {
namespace {

constexpr uint64_t kMaxFirmware = 16 << 20, kBiosUnit = 64 << 10;
constexpr const char* kFolders[] = {"/usr/local/share/rhea", "/usr/share/rhea", "/usr/share/seabios",
                                    "/usr/share/qemu",       "/usr/share/ovmf", "/usr/share/OVMF",
                                    "/usr/lib/ipxe/qemu"};

bool is_file(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

std::vector<std::string> firmware_folders(const std::vector<std::string>& from_user) {
  std::vector<std::string> all = from_user;
  all.insert(all.end(), std::begin(kFolders), std::end(kFolders));
  return all;
}

Result<std::vector<uint8_t>> read_whole_file(const std::string& path, uint64_t limit) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail_errno(errno, path);
  std::vector<uint8_t> data;
  struct stat st {};
  if (::fstat(file.fd, &st) == 0 && st.st_size > 0 && static_cast<uint64_t>(st.st_size) <= limit) {
    data.resize(static_cast<size_t>(st.st_size));  // what it most likely is; more or less is found out below
  }
  constexpr size_t kChunk = 1 << 16;
  size_t have = 0;
  for (;;) {
    uint8_t more[kChunk];  // behind the size told, as with pipes: usually only the end of the file
    bool told = have < data.size();
    ssize_t got =
        told ? ::read(file.fd, data.data() + have, data.size() - have) : ::read(file.fd, more, kChunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, path);
    if (got == 0) {
      data.resize(have);
      return data;
    }
    if (!told) data.insert(data.end(), more, more + got);
    have += static_cast<size_t>(got);
    if (have > limit) return fail(ErrorKind::Invalid, fmt::format("{}: larger than {} bytes", path, limit));
  }
}

Result<std::vector<uint8_t>> load_firmware_file(std::string_view name,
                                                const std::vector<std::string>& folders) {
  std::string path(name);
  if (!is_file(path)) {
    path.clear();
    for (const std::string& folder : folders) {
      std::string candidate = fmt::format("{}/{}", folder, name);
      if (!is_file(candidate)) continue;
      path = candidate;
      break;
    }
  }
  if (path.empty()) {
    return fail(ErrorKind::NotFound,
                fmt::format("{}: no such file, nor in {}", name, fmt::join(folders, ", ")));
  }
  return read_whole_file(path, kMaxFirmware);
}

Result<std::vector<uint8_t>> load_bios(std::string_view name, const std::vector<std::string>& folders) {
  std::vector<uint8_t> bios = TRY(load_firmware_file(name, folders));
  if (bios.empty() || bios.size() % kBiosUnit != 0) {
    return fail(ErrorKind::Invalid,
                fmt::format("{}: a BIOS is a multiple of 64 KiB, this file has {} bytes", name, bios.size()));
  }
  return bios;
}

}  // namespace rhea::machine
