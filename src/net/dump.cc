#include "net/dump.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/failf.h"
#include "base/log.h"

namespace rhea::net {

namespace {

struct FileHeader {
  uint32_t magic = 0xa1b2c3d4;  // in the host's byte order, which readers find out by it
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0;
  uint32_t longest;
  uint32_t link = 1;  // Ethernet
};

struct RecordHeader {
  uint32_t seconds, microseconds;
  uint32_t kept, length;
};

}  // namespace

Result<std::unique_ptr<Dump>> Dump::create(Endpoint& end, const DumpOptions& options) {
  std::unique_ptr<Dump> dump(new Dump(end, options));
  dump->fd_ = ::open(options.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (dump->fd_ < 0) return fail_errno(errno, options.file);
  const FileHeader header{.longest = static_cast<uint32_t>(options.maxlen)};
  if (::write(dump->fd_, &header, sizeof header) != sizeof header) return fail_errno(errno, options.file);
  end.add_tap(*dump);
  return dump;
}

Dump::~Dump() {
  if (end_ != nullptr) end_->remove_tap(*this);
  if (fd_ >= 0) ::close(fd_);
}

void Dump::frame_passed(Frame frame, bool sent_by_endpoint) {
  const bool wanted = options_.queue == "all" || (options_.queue == "tx") == sent_by_endpoint;
  if (!options_.status || !wanted || fd_ < 0) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const size_t kept = std::min<size_t>(frame.size(), options_.maxlen);
  RecordHeader header{.seconds = static_cast<uint32_t>(now.tv_sec),
                      .microseconds = static_cast<uint32_t>(now.tv_nsec / 1000),
                      .kept = static_cast<uint32_t>(kept),
                      .length = static_cast<uint32_t>(frame.size())};
  // SAFETY: writev only reads.
  std::array<iovec, 2> parts{{{&header, sizeof header}, {const_cast<uint8_t*>(frame.data()), kept}}};
  const ssize_t written = ::writev(fd_, parts.data(), 2);
  if (written == static_cast<ssize_t>(sizeof header + kept)) return;
  log_warn("filter-dump {}: {}: {}; it ends here", options_.id, options_.file, errno_text(errno));
  ::close(std::exchange(fd_, -1));
}

}  // namespace rhea::net
