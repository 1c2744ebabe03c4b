// The client's side of the NBD protocol (the NBD project's doc/proto.md): fixed newstyle handshake with
// NBD_OPT_GO, or NBD_OPT_EXPORT_NAME with servers that do not know it; structured replies and base:allocation
// where offered; TLS with certificates (NBD_OPT_STARTTLS). Missing: extended headers.
//
// request() may be called by any number of threads at once; a thread of its own reads the replies.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/result.h"
#include "block/protocols/nbd_stream.h"
#include "block/protocols/tls_library.h"

namespace rhea::block {

struct NbdExport {
  uint64_t size = 0;
  uint16_t flags = 0;  // NBD_FLAG_*
  uint32_t least_block = 1;
  uint32_t largest_payload = 32u << 20;
  bool has_extents = false;

  bool read_only() const { return (flags & 0x002) != 0; }
  bool can_flush() const { return (flags & 0x004) != 0; }
  bool can_fua() const { return (flags & 0x008) != 0; }
  bool can_trim() const { return (flags & 0x020) != 0; }
  bool can_zero() const { return (flags & 0x040) != 0; }
};

enum class NbdCommand : uint16_t {
  Read = 0,
  Write = 1,
  Disconnect = 2,
  Flush = 3,
  Trim = 4,
  WriteZeroes = 6,
  BlockStatus = 7,
};
inline constexpr uint16_t kNbdNoHole = 2;
inline constexpr uint16_t kNbdReqOne = 8;

struct NbdRequest {
  NbdCommand command = NbdCommand::Read;
  uint16_t flags = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  std::span<const uint8_t> from;  // Write
  std::span<uint8_t> into;        // Read
};

struct NbdExtent {
  uint32_t length = 0;
  uint32_t flags = 0;  // 1 hole, 2 zero
};

struct NbdTls {
  std::string credentials;  // empty: none
  std::string host;         // whom the certificate must name
};

class NbdConnection {
 public:
  static Result<std::unique_ptr<NbdConnection>> open(std::unique_ptr<NbdStream> stream,
                                                     const std::string& export_name, const NbdTls& tls);
  ~NbdConnection();

  const NbdExport& about() const { return export_; }
  // Returns when the server has answered. BlockStatus: the first extent.
  Result<NbdExtent> request(const NbdRequest& request);
  // Nothing more can be asked: the server is gone, or does not keep to the protocol.
  bool broken();

 private:
  struct Pending {
    const NbdRequest& request;
    uint32_t error = 0;
    uint64_t received = 0;  // of what is read
    bool done = false;
    NbdExtent extent;
  };

  explicit NbdConnection(std::unique_ptr<NbdStream> stream) : stream_(std::move(stream)) {}

  Result<> handshake(const std::string& export_name, const NbdTls& tls);
  Result<> start_tls(const NbdTls& tls);
  Result<bool> negotiate_go(const std::string& export_name);
  Result<> negotiate_export_name(const std::string& export_name, bool no_zeroes);
  Result<> negotiate_contexts(const std::string& export_name);
  Result<> send_option(uint32_t option, std::span<const uint8_t> data);
  struct OptionReply {
    uint32_t type = 0;
    std::vector<uint8_t> data;
  };
  Result<OptionReply> read_option_reply(uint32_t option);
  Result<> parse_info(std::span<const uint8_t> data);

  void read_replies();
  Result<> read_reply();
  Result<> read_chunk(uint16_t type, uint32_t length, Pending& pending);
  Result<> receive(std::span<uint8_t> into);
  Result<> send_all(std::span<const uint8_t> data);

  const std::unique_ptr<NbdStream> stream_;
  std::unique_ptr<TlsSession> tls_;
  NbdExport export_;
  bool structured_ = false;
  uint32_t context_ = 0;  // of base:allocation

  std::mutex send_mutex_;
  std::mutex mutex_;  // of what follows
  std::condition_variable answered_;
  std::map<uint64_t, Pending*> pending_;
  uint64_t next_cookie_ = 1;
  bool broken_ = false;
  std::jthread reader_;
};

}  // namespace rhea::block
