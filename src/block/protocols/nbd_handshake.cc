// The handshake.
#include <algorithm>
#include <array>
#include <bit>

#include "base/endian.h"
#include "base/failf.h"
#include "block/protocols/nbd_connection.h"

namespace rhea::block {
namespace {

constexpr uint64_t kServerMagic = 0x4e42444d41474943;  // "NBDMAGIC"
constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // "IHAVEOPT"
constexpr uint64_t kReplyMagic = 0x0003e889045565a9;
constexpr uint16_t kFixedNewstyle = 1;
constexpr uint16_t kNoZeroes = 2;
constexpr uint32_t kOptExportName = 1;
constexpr uint32_t kOptStartTls = 5;
constexpr uint32_t kOptGo = 7;
constexpr uint32_t kOptStructuredReply = 8;
constexpr uint32_t kOptSetMetaContext = 10;
constexpr uint32_t kRepAck = 1;
constexpr uint32_t kRepInfo = 3;
constexpr uint32_t kRepMetaContext = 4;
constexpr uint32_t kRepErrorBit = 1u << 31;
constexpr uint32_t kRepUnsupported = kRepErrorBit | 1;
constexpr uint32_t kRepPolicy = kRepErrorBit | 2;
constexpr uint32_t kRepTlsRequired = kRepErrorBit | 5;
constexpr uint32_t kRepUnknown = kRepErrorBit | 6;
constexpr uint16_t kInfoExport = 0;
constexpr uint16_t kInfoBlockSize = 3;
constexpr uint32_t kLargestReply = 1u << 20;
constexpr unsigned kMostReplies = 1000;
constexpr size_t kTlsPiece = 16 * 1024;
constexpr unsigned kHandshakeSeconds = 60;
constexpr size_t kLongestWords = 4096;
constexpr char kAllocation[] = "base:allocation";

std::unexpected<Error> confused(std::string_view what) {
  return failf(ErrorKind::Io, "NBD server sent {}", what);
}

// As it goes to a terminal: not too much, and nothing that steers it.
std::string words_of_server(std::span<const uint8_t> data) {
  if (data.empty()) return "";
  std::string out = "\nserver reported: ";
  for (const uint8_t byte : data.first(std::min(data.size(), kLongestWords)))
    out += byte < 0x20 || byte == 0x7f ? '?' : static_cast<char>(byte);
  return out;
}

void put_text(std::vector<uint8_t>& out, std::string_view text) {
  const size_t at = out.size();
  out.resize(at + 4);
  store_be(&out[at], static_cast<uint32_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

Result<std::unique_ptr<NbdConnection>> NbdConnection::open(std::unique_ptr<NbdStream> stream,
                                                           const std::string& export_name,
                                                           const NbdTls& tls) {
  std::unique_ptr<NbdConnection> out(new NbdConnection(std::move(stream)));
  out->stream_->limit_wait(kHandshakeSeconds);
  TRY(out->handshake(export_name, tls));
  out->stream_->limit_wait(0);
  out->reader_ = std::jthread([connection = out.get()] { connection->read_replies(); });
  return out;
}

Result<> NbdConnection::handshake(const std::string& export_name, const NbdTls& tls) {
  std::array<uint8_t, 18> hello{};
  TRY(receive(hello));
  if (load_be<uint64_t>(&hello[0]) != kServerMagic)
    return fail(ErrorKind::Invalid, "Bad initial magic received");
  if (load_be<uint64_t>(&hello[8]) != kOptionMagic)
    return fail(ErrorKind::Unsupported,
                "Bad server magic received: servers of the old style are not supported");
  const uint16_t flags = load_be<uint16_t>(&hello[16]);
  const bool fixed = (flags & kFixedNewstyle) != 0;
  const uint32_t answer = flags & (kFixedNewstyle | kNoZeroes);
  std::array<uint8_t, 4> ours{};
  store_be(ours.data(), answer);
  TRY(send_all(ours));
  if (!tls.credentials.empty()) {
    if (!fixed) return fail(ErrorKind::Unsupported, "Server does not support STARTTLS");
    TRY(start_tls(tls));
  }
  if (fixed) {
    TRY(send_option(kOptStructuredReply, {}));
    structured_ = TRY(read_option_reply(kOptStructuredReply)).type == kRepAck;
    if (structured_) TRY(negotiate_contexts(export_name));
    if (TRY(negotiate_go(export_name))) return {};
  }
  return negotiate_export_name(export_name, (answer & kNoZeroes) != 0);
}

// From here on everything is sealed.
Result<> NbdConnection::start_tls(const NbdTls& tls) {
  auto session = TRY(TlsSession::make(tls.credentials, tls.host));
  TRY(send_option(kOptStartTls, {}));
  const OptionReply reply = TRY(read_option_reply(kOptStartTls));
  if (reply.type != kRepAck || !reply.data.empty())
    return fail(ErrorKind::Unsupported, "Server rejected the request to start TLS");
  std::vector<uint8_t> buffer(kTlsPiece);
  while (true) {
    const auto ours = TRY(session->shake_hands());
    TRY(stream_->send(ours));
    if (session->done()) break;
    const size_t got = TRY_IN(stream_->receive(buffer), "TLS handshake failed");
    TRY(session->feed(std::span(buffer).first(got)));
  }
  tls_ = std::move(session);
  return {};
}

Result<> NbdConnection::send_option(uint32_t option, std::span<const uint8_t> data) {
  std::vector<uint8_t> out(16);
  store_be(&out[0], kOptionMagic);
  store_be(&out[8], option);
  store_be(&out[12], static_cast<uint32_t>(data.size()));
  out.insert(out.end(), data.begin(), data.end());
  return send_all(out);
}

Result<NbdConnection::OptionReply> NbdConnection::read_option_reply(uint32_t option) {
  std::array<uint8_t, 20> head{};
  TRY(receive(head));
  const uint32_t length = load_be<uint32_t>(&head[16]);
  if (load_be<uint64_t>(&head[0]) != kReplyMagic || load_be<uint32_t>(&head[8]) != option ||
      length > kLargestReply)
    return confused("no reply to an option");
  OptionReply out{.type = load_be<uint32_t>(&head[12]), .data = std::vector<uint8_t>(length)};
  TRY(receive(out.data));
  if (out.type == kRepTlsRequired)
    return fail(
        ErrorKind::Permission,
        "server requires TLS: an object tls-creds-x509 (or tls-creds-psk) and tls-creds=ID are needed");
  return out;
}

Result<> NbdConnection::negotiate_contexts(const std::string& export_name) {
  std::vector<uint8_t> query;
  put_text(query, export_name);
  query.resize(query.size() + 4);
  store_be(&query[query.size() - 4], uint32_t{1});
  put_text(query, kAllocation);
  TRY(send_option(kOptSetMetaContext, query));
  for (unsigned count = 0; count < kMostReplies; ++count) {
    const OptionReply reply = TRY(read_option_reply(kOptSetMetaContext));
    if (reply.type != kRepMetaContext) return {};
    const auto name = std::span(reply.data).subspan(std::min<size_t>(4, reply.data.size()));
    if (reply.data.size() < 4 || !std::ranges::equal(name, std::string_view(kAllocation)))
      return confused("a context that nobody asked for");
    context_ = load_be<uint32_t>(reply.data.data());
    export_.has_extents = true;
  }
  return confused("too many replies");
}

// False: the server does not know the option.
Result<bool> NbdConnection::negotiate_go(const std::string& export_name) {
  std::vector<uint8_t> query;
  put_text(query, export_name);
  query.resize(query.size() + 4);
  store_be(&query[query.size() - 4], uint16_t{1});
  store_be(&query[query.size() - 2], kInfoBlockSize);
  TRY(send_option(kOptGo, query));
  bool has_size = false;
  for (unsigned count = 0; count < kMostReplies; ++count) {
    const OptionReply reply = TRY(read_option_reply(kOptGo));
    const std::string reported = words_of_server(reply.data);
    if (reply.type == kRepUnsupported) return false;
    if (reply.type == kRepUnknown)
      return failf(ErrorKind::NotFound, "Requested export not available{}", reported);
    if (reply.type == kRepPolicy) return failf(ErrorKind::Permission, "Denied by server{}", reported);
    if ((reply.type & kRepErrorBit) != 0)
      return failf(ErrorKind::Io, "NBD server refuses the export (error {}){}", reply.type & ~kRepErrorBit,
                   reported);
    if (reply.type == kRepAck) return has_size ? Result<bool>(true) : confused("no size of the export");
    if (reply.type != kRepInfo || reply.data.size() < 2) return confused("no information");
    if (load_be<uint16_t>(reply.data.data()) == kInfoExport) has_size = true;
    TRY(parse_info(reply.data));
  }
  return confused("too many replies");
}

Result<> NbdConnection::parse_info(std::span<const uint8_t> data) {
  const uint16_t type = load_be<uint16_t>(data.data());
  if (type == kInfoExport) {
    if (data.size() != 12) return confused("information of a wrong length");
    export_.size = load_be<uint64_t>(&data[2]);
    export_.flags = load_be<uint16_t>(&data[10]);
    if (export_.size > static_cast<uint64_t>(INT64_MAX)) return confused("a size that is too large");
  } else if (type == kInfoBlockSize) {
    if (data.size() != 14) return confused("information of a wrong length");
    const uint32_t least = load_be<uint32_t>(&data[2]);
    const uint32_t most = load_be<uint32_t>(&data[10]);
    if (!std::has_single_bit(least) || least > 65536 || most < least)
      return confused("impossible block sizes");
    export_.least_block = least;
    export_.largest_payload = std::min(export_.largest_payload, most / least * least);
  }
  return {};
}

Result<> NbdConnection::negotiate_export_name(const std::string& export_name, bool no_zeroes) {
  // SAFETY: characters as bytes.
  TRY(send_option(kOptExportName,
                  {reinterpret_cast<const uint8_t*>(export_name.data()), export_name.size()}));
  std::array<uint8_t, 134> about{};
  TRY_IN(receive(std::span(about).first(no_zeroes ? 10 : 134)), "Requested export not available");
  export_.size = load_be<uint64_t>(&about[0]);
  export_.flags = load_be<uint16_t>(&about[8]);
  if (export_.size > static_cast<uint64_t>(INT64_MAX)) return confused("a size that is too large");
  return {};
}

}  // namespace rhea::block
