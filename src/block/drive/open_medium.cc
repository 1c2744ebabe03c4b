// See open_medium.h.
#include "block/drive/open_medium.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "base/endian.h"
#include "base/failf.h"
#include "base/log.h"
#include "block/protocols/file_lock.h"
#include "block/protocols/protocol.h"

namespace rhea::block {
namespace {

CacheMode cache_of(const MediumRequest& request) {
  if (request.no_flush) return CacheMode::Unsafe;
  return request.direct ? CacheMode::None : CacheMode::Writeback;
}

bool has_format(const ImageName& name) {
  if (!name.format.empty()) return true;
  for (const config::KeyValue& option : name.options) {
    if (option.key == "driver") return true;
  }
  return name.filename.starts_with("json:");
}

// The image below, opened for writing beside ours, which keeps its locks.
Result<std::unique_ptr<ImageNode>> reopen_writable(ImageName name, CacheMode cache) {
  OpenFlags flags;
  flags.writable = true;
  flags.cache = cache;
  if (!name.filename.starts_with("json:")) name.options.push_back({"file.locking", "off"});
  return open_image(name, flags);
}

class TemporaryFile {
 public:
  static Result<TemporaryFile> create() {
    const char* folder = std::getenv("TMPDIR");
    std::string name =
        fmt::format("{}/vl.XXXXXX", folder != nullptr && *folder != '\0' ? folder : "/var/tmp");
    const int fd = ::mkstemp(name.data());
    if (fd < 0) return fail_errno(errno, fmt::format("Could not get temporary filename '{}'", name));
    ::close(fd);
    return TemporaryFile(std::move(name));
  }
  TemporaryFile(TemporaryFile&& other) noexcept : name_(std::exchange(other.name_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  const std::string& name() const { return name_; }

 private:
  explicit TemporaryFile(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// The file loses its name as soon as it is open, so that nothing is left behind however this process ends.
Result<std::unique_ptr<ImageNode>> put_overlay(std::unique_ptr<ImageNode> base) {
  const TemporaryFile file = TRY(TemporaryFile::create());
  const FormatDriver* format = find_format("qcow2");
  CreateRequest create;
  create.filename = file.name();
  create.size = base->size();
  TRY_IN(format->create(create), "Could not create temporary overlay");
  OpenFlags flags;
  flags.writable = true;
  flags.cache = CacheMode::Unsafe;
  flags.no_backing = true;
  ImageName name;
  name.filename = file.name();
  name.format = "qcow2";
  auto overlay = TRY_IN(open_image(name, flags), "Could not open temporary overlay");
  overlay->set_backing(std::move(base));
  return overlay;
}

// A raw image that is written is anybody's for tools; a machine's disk is not: two guests would wreck it.
Result<> lock_for_machine(const ImageNode& image, const MediumRequest& request) {
  const auto* file = dynamic_cast<const ProtocolNode*>(&image.file());
  if (image.driver().name() != "raw" || file == nullptr || file->fd() < 0) return {};
  for (const config::KeyValue& option : request.name.options) {
    if (option.key.ends_with("locking") && option.value == "off") return {};
  }
  return lock_image(file->fd(), file->filename(),
                    {.used = LockSet::kConsistentRead | LockSet::kWrite, .unshared = LockSet::kWrite});
}

// ECMA-119, 8.4: the primary volume descriptor says how many blocks the disc has.
void warn_of_cut_disc(ImageNode& image, const std::string& filename) {
  constexpr uint64_t kDescriptor = 16 * 2048;
  constexpr std::string_view kPrimary(
      "\x01"
      "CD001\x01",
      7);
  std::array<uint8_t, 132> head{};
  if (image.size() < kDescriptor + head.size() || !image.read(kDescriptor, head)) return;
  if (!std::equal(kPrimary.begin(), kPrimary.end(), head.begin())) return;
  const uint64_t wanted = uint64_t{load_le<uint32_t>(&head[80])} * load_le<uint16_t>(&head[128]);
  if (wanted > image.size())
    log_warn("'{}' is cut off: the disc in it has {} bytes, the image {}", filename, wanted, image.size());
}

}  // namespace

Result<Medium> open_medium(const MediumRequest& request) {
  OpenFlags flags;
  flags.writable = !request.read_only && !request.snapshot;
  flags.cache = cache_of(request);
  flags.engine = request.engine;
  auto opened = open_image(request.name, flags);
  if (!opened && flags.writable && request.auto_read_only && opened.error().kind() == ErrorKind::Permission) {
    flags.writable = false;
    opened = open_image(request.name, flags);
  }
  std::unique_ptr<ImageNode> image = TRY(std::move(opened));
  if (flags.writable) TRY(lock_for_machine(*image, request));
  Medium medium;
  medium.filename = request.name.filename.empty() ? image->filename() : request.name.filename;
  // A guess that nothing is written by, as under an overlay, is of no interest.
  medium.probed = flags.writable && !has_format(request.name) && image->driver().name() == "raw";
  medium.read_only = request.read_only || (!flags.writable && !request.snapshot);
  if (request.read_only) warn_of_cut_disc(*image, medium.filename);
  if (request.snapshot && !request.read_only) {
    medium.temporary = true;
    medium.reopen_base = [name = request.name, cache = flags.cache] { return reopen_writable(name, cache); };
    image = TRY(put_overlay(std::move(image)));
  } else if (image->backing() != nullptr) {
    ImageName below;
    below.filename = image->backing()->filename();
    below.format = image->backing()->driver().name();
    medium.reopen_base = [below, cache = flags.cache] { return reopen_writable(below, cache); };
  }
  medium.image = std::move(image);
  return medium;
}

std::string raw_guess_warning(const std::string& filename) {
  return fmt::format(
      "WARNING: Image format was not specified for '{}' and probing guessed raw.\n"
      "         Automatically detecting the format is dangerous for raw images, write operations on block 0 "
      "will be restricted.\n"
      "         Specify the 'raw' format explicitly to remove the restrictions.\n",
      filename);
}

}  // namespace rhea::block
