// Any bytes as what an NBD server sends: refused with one line, or used without a crash or a hang. The first
// byte tells the mode: bit 0 TLS is asked for, bit 1 the cookies of replies are put right, bit 2 opened for
// writing. The rest is pieces, each with its length (two bytes, little end first): the handshake, then one
// per request.
//
// No socket: what a reply is read from comes when its request has been sent. A server that then is silent
// would be waited for; this one hangs up.
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/endian.h"
#include "base/failf.h"
#include "block/protocols/nbd.h"

namespace rhea::block {
namespace {

constexpr char kAuthority[] = R"(-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUUVesvEwEmpBbPY2P3MKRm7Y/Sf4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjQwMjEyNTdaGA8yMTI2MTAzMTAyMTI1
N1owDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEFz
KXa3QuIq9lk9UmaQr6IQuyl2QeA+sgRv3awJ6t7+MV5Ul8MJr5ebclMCJAjCRgNH
r2KZPiXRG23p5RUItMCjUzBRMB0GA1UdDgQWBBQCs1Eui7iNxCZsFyNWsktRViKP
NzAfBgNVHSMEGDAWgBQCs1Eui7iNxCZsFyNWsktRViKPNzAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCICsZ4H39Wy0mlmTB9jWSLEQXk7g7wItYwEMX
oBSUpY0XAiBK9k+68hJ1F8FsB5R80f3uzky66OITag5Y2OZa0VNyBg==
-----END CERTIFICATE-----
)";
constexpr uint32_t kRequestMagic = 0x25609513;
constexpr uint32_t kSimpleMagic = 0x67446698;
constexpr uint32_t kStructuredMagic = 0x668e33ef;

constexpr std::chrono::milliseconds kSilence{20};

using Bytes = std::vector<uint8_t>;

class ScriptedStream final : public NbdStream {
 public:
  ScriptedStream(std::span<const uint8_t> script, bool put_cookies_right)
      : script_(script), put_cookies_right_(put_cookies_right) {
    next_piece();
  }

  Result<> send(std::span<const uint8_t> data) override {
    const std::lock_guard lock(mutex_);
    if (data.size() == 28 && load_be<uint32_t>(data.data()) == kRequestMagic) {
      ++requests_;
      cookies_.push_back(load_be<uint64_t>(&data[8]));
      changed_.notify_all();
    }
    return {};
  }

  Result<size_t> receive(std::span<uint8_t> into) override {
    std::unique_lock lock(mutex_);
    while (at_ == piece_.size()) {
      const auto may_go_on = [&] { return shut_ || requests_ > answered_; };
      if (std::this_thread::get_id() != maker_) changed_.wait_for(lock, kSilence, may_go_on);
      if (shut_ || requests_ <= answered_ || script_.empty()) return fail(ErrorKind::Io, "closed");
      ++answered_;
      next_piece();
      if (put_cookies_right_) put_cookie(cookies_[answered_ - 1]);
    }
    const size_t count = std::min(into.size(), piece_.size() - at_);
    std::copy_n(piece_.begin() + static_cast<ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }

  void limit_wait(unsigned) override {}

  void shut_down() override {
    const std::lock_guard lock(mutex_);
    shut_ = true;
    changed_.notify_all();
  }

 private:
  void next_piece() {
    const size_t wanted = script_.size() < 2 ? 0 : script_[0] | size_t{script_[1]} << 8;
    script_ = script_.subspan(std::min<size_t>(2, script_.size()));
    const auto piece = script_.first(std::min(wanted, script_.size()));
    script_ = script_.subspan(piece.size());
    piece_.assign(piece.begin(), piece.end());
    at_ = 0;
  }

  void put_cookie(uint64_t cookie) {
    for (size_t at = 0; at + 16 <= piece_.size();) {
      const uint32_t magic = load_be<uint32_t>(&piece_[at]);
      if (magic != kSimpleMagic && magic != kStructuredMagic) return;
      store_be(&piece_[at + 8], cookie);
      if (magic == kSimpleMagic || at + 20 > piece_.size()) return;
      at += size_t{20} + load_be<uint32_t>(&piece_[at + 16]);
    }
  }

  const std::thread::id maker_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::span<const uint8_t> script_;
  const bool put_cookies_right_;
  Bytes piece_;
  size_t at_ = 0;
  size_t requests_ = 0;
  size_t answered_ = 0;
  std::vector<uint64_t> cookies_;
  bool shut_ = false;
};

bool add_credentials() {
  std::string folder = "/tmp/rhea-nbd-fuzz-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return false;
  std::ofstream(folder + "/ca-cert.pem") << kAuthority;
  static const std::string made = folder;
  std::atexit([] {
    (void)::unlink((made + "/ca-cert.pem").c_str());
    (void)::rmdir(made.c_str());
  });
  return add_tls_credentials("fuzz", {{"dir", folder}, {"verify-peer", "off"}}).has_value();
}

void use(ProtocolNode& node, bool writes) {
  const uint64_t size = node.size();
  Bytes buffer(70000);
  (void)node.read(0, buffer);
  for (uint64_t at = 0, count = 0; at < size && count < 6; ++count) {
    const auto extent = node.extent(at, size - at);
    if (!extent) break;
    if (extent->length == 0 || extent->length > size - at) std::abort();
    at += extent->length;
  }
  const uint64_t end = size - std::min<uint64_t>(size, 100);
  (void)node.read(end, std::span(buffer).first(300));
  (void)node.read(size + 9, std::span(buffer).first(30));
  if (writes) {
    (void)node.write(3, std::span<const uint8_t>(buffer).first(600));
    (void)node.write_zeroes(end, size - end, ZeroMode::MayUnmap);
    (void)node.discard(1, 100000);
  }
  (void)node.flush();
}

void serve(std::span<const uint8_t> data) {
  static const bool has_credentials = add_credentials();
  const unsigned mode = data[0];
  const NbdTls tls{.credentials = (mode & 1) != 0 && has_credentials ? "fuzz" : "", .host = "localhost"};
  OpenFlags flags;
  flags.writable = (mode & 4) != 0;
  bool first = true;
  const auto connect = [&]() -> Result<std::unique_ptr<NbdConnection>> {
    if (!std::exchange(first, false)) return fail(ErrorKind::Io, "gone");
    return NbdConnection::open(std::make_unique<ScriptedStream>(data.subspan(1), (mode & 2) != 0), "disk",
                               tls);
  };
  auto link = NbdLink::open(connect, NbdLink::Seconds(0), NbdLink::Seconds(0));
  if (!link) return;
  const auto node = nbd_node("nbd://fuzz", std::move(*link), flags);
  use(*node, flags.writable);
}

}  // namespace
}  // namespace rhea::block

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  rhea::block::serve({data, size});
  rhea::config::KeyValues options;
  (void)rhea::block::nbd_address(std::string(data, data + size), options);
  return 0;
}
