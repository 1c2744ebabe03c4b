#include "net/tap_net.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/failf.h"
#include "base/log.h"
#include "net/host_socket.h"

extern char** environ;

namespace rhea::net {

namespace {

constexpr const char* kUpScript = "/etc/qemu-ifup";
constexpr const char* kDownScript = "/etc/qemu-ifdown";
constexpr int kFramesPerTurn = 64;

// struct virtio_net_hdr of the kernel's interface.
struct VnetHeader {
  uint8_t flags = 0, gso_type = 0;
  uint16_t header_length = 0, gso_size = 0, checksum_start = 0, checksum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);
constexpr uint8_t kNeedsChecksum = 1, kDataValid = 2;
constexpr uint8_t kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoEcn = 0x80;

VnetHeader to_header(Frame frame, const Offload& offload) {
  VnetHeader header;
  if (offload.checksum_wanted) {
    header.flags = kNeedsChecksum;
    header.checksum_start = offload.checksum_start;
    header.checksum_offset = offload.checksum_offset;
  }
  if (offload.gso == Gso::None) return header;
  header.gso_type = offload.gso == Gso::Tcp4 ? kGsoTcp4 : kGsoTcp6;
  header.gso_size = offload.segment_size;
  header.header_length = static_cast<uint16_t>(parse_headers(frame).payload);
  return header;
}

Offload from_header(const VnetHeader& header) {
  Offload offload;
  offload.checksum_wanted = (header.flags & kNeedsChecksum) != 0;
  offload.checksum_good = (header.flags & (kNeedsChecksum | kDataValid)) != 0;
  offload.checksum_start = header.checksum_start;
  offload.checksum_offset = header.checksum_offset;
  const uint8_t type = header.gso_type & static_cast<uint8_t>(~kGsoEcn);
  if (type == kGsoTcp4) offload.gso = Gso::Tcp4;
  if (type == kGsoTcp6) offload.gso = Gso::Tcp6;
  offload.segment_size = header.gso_size;
  return offload;
}

Result<> run_script(const std::string& script, const std::string& ifname) {
  std::string path = script, argument = ifname;
  std::array<char*, 3> arguments{path.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (error != 0)
    return failf(ErrorKind::Io, "could not launch network script {}: {}", script, errno_text(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return failf(ErrorKind::Io, "network script {} failed with status {}", script,
               WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

Result<> check(const TapOptions& o) {
  const auto refuse = [](const char* key) {
    return failf(ErrorKind::Unsupported, "{} is not supported", key);
  };
  if (!o.fds.empty()) return refuse("fds= (several queues)");
  if (o.queues.value_or(1) != 1) return refuse("queues= above 1");
  if (!o.helper.empty() || !o.br.empty()) return refuse("helper= (bridge helpers)");
  if (o.vhost.value_or(false) || o.vhostforce.value_or(false)) return refuse("vhost=on");
  if (!o.vhostfd.empty() || !o.vhostfds.empty()) return refuse("vhostfd=");
  if (o.poll_us.value_or(0) != 0) return refuse("poll-us=");
  const bool own = !o.ifname.empty() || o.script_given || o.downscript_given || o.vnet_hdr.has_value();
  if (!o.fd.empty() && own)
    return fail(ErrorKind::Invalid, "ifname=, script=, downscript= and vnet_hdr= are invalid with fd=");
  if (o.ifname.size() >= IFNAMSIZ)
    return failf(ErrorKind::Invalid, "'ifname' accepts {} characters at most", IFNAMSIZ - 1);
  return {};
}

}  // namespace

Result<std::unique_ptr<TapNet>> TapNet::create(async::EventLoop& loop, std::string id,
                                               const TapOptions& options) {
  TRY(check(options));
  std::unique_ptr<TapNet> net(new TapNet(loop, std::move(id), options));
  if (options.fd.empty()) {
    TRY(net->open_device());
  } else {
    TRY(net->take_descriptor());
  }
  TRY(net->configure());
  return net;
}

Result<> TapNet::open_device() {
  fd_ = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd_ < 0) return fail_errno(errno, "could not open /dev/net/tun");
  unsigned features = 0;
  if (::ioctl(fd_, TUNGETFEATURES, &features) != 0) features = 0;
  vnet_header_ = options_.vnet_hdr.value_or(true) && (features & IFF_VNET_HDR) != 0;
  if (options_.vnet_hdr.value_or(false) && !vnet_header_)
    return fail(ErrorKind::Unsupported,
                "vnet_hdr=1 requested, but no kernel support for IFF_VNET_HDR available");
  ifreq request{};
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (vnet_header_ ? IFF_VNET_HDR : 0));
  const std::string name = options_.ifname.empty() ? "tap%d" : options_.ifname;
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  if (::ioctl(fd_, TUNSETIFF, &request) != 0)
    return failf(ErrorKind::Io, "could not configure /dev/net/tun ({}): {}", name, errno_text(errno));
  ifname_ = request.ifr_name;
  const std::string script = options_.script_given ? options_.script : kUpScript;
  if (!script.empty() && script != "no") TRY(run_script(script, ifname_));
  down_script_due_ = true;
  return {};
}

Result<> TapNet::take_descriptor() {
  fd_ = TRY_IN(inherited_descriptor(options_.fd), "fd");
  ifreq request{};
  if (::ioctl(fd_, TUNGETIFF, &request) != 0)
    return failf(ErrorKind::Invalid, "fd={} is no TAP interface: {}", options_.fd, errno_text(errno));
  vnet_header_ = (request.ifr_flags & IFF_VNET_HDR) != 0;
  ifname_ = request.ifr_name;
  return {};
}

Result<> TapNet::configure() {
  TRY(make_nonblocking(fd_));
  if (vnet_header_) {
    const int size = sizeof(VnetHeader);
    if (::ioctl(fd_, TUNSETVNETHDRSZ, &size) != 0) return fail_errno(errno, "TUNSETVNETHDRSZ");
    // SAFETY: the kernel takes the flags in the place of the pointer. Older ones know fewer, or none.
    if (::ioctl(fd_, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
      ::ioctl(fd_, TUNSETOFFLOAD, 0);
  }
  if (options_.sndbuf) {
    const int bytes = *options_.sndbuf == 0 ? INT32_MAX : static_cast<int>(*options_.sndbuf);
    if (::ioctl(fd_, TUNSETSNDBUF, &bytes) != 0) return fail_errno(errno, "sndbuf");
  }
  buffer_.resize(sizeof(VnetHeader) + kLargestFrame);
  watch_ = TRY(loop_.watch(fd_, EPOLLIN, [this](uint32_t) { read(); }));
  return {};
}

TapNet::~TapNet() {
  disconnect();
  watch_.reset();
  const std::string script = options_.downscript_given ? options_.downscript : kDownScript;
  if (down_script_due_ && !script.empty() && script != "no") {
    if (auto run = run_script(script, ifname_); !run) log_warn("{}", run.error().message());
  }
  if (fd_ >= 0) ::close(fd_);
}

// The kernel drops what it cannot take, as a full network would.
void TapNet::receive(Frame frame, const Offload& offload) {
  VnetHeader header = to_header(frame, offload);
  // SAFETY: writev only reads.
  std::array<iovec, 2> parts{
      {{&header, vnet_header_ ? sizeof header : 0}, {const_cast<uint8_t*>(frame.data()), frame.size()}}};
  while (::writev(fd_, parts.data(), 2) < 0 && errno == EINTR) {
  }
}

void TapNet::read() {
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
    if (got < 0) return;
    Frame frame(buffer_.data(), static_cast<size_t>(got));
    Offload offload;
    if (vnet_header_) {
      if (frame.size() < sizeof(VnetHeader)) continue;
      VnetHeader header;
      std::memcpy(&header, frame.data(), sizeof header);
      offload = from_header(header);
      frame = frame.subspan(sizeof header);
    }
    if (send(frame, offload)) continue;
    watch_->set_events(0);
    return;
  }
}

void TapNet::room_again() {
  watch_->set_events(EPOLLIN);
}

std::string TapNet::info() const {
  if (!options_.fd.empty()) return "index=0,type=tap,fd=" + options_.fd;
  return fmt::format("index=0,type=tap,ifname={},script={},downscript={}", ifname_,
                     options_.script_given ? options_.script : kUpScript,
                     options_.downscript_given ? options_.downscript : kDownScript);
}

}  // namespace rhea::net
