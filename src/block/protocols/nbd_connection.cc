// Requests and replies.
#include "block/protocols/nbd_connection.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/checked.h"
#include "base/endian.h"
#include "base/failf.h"
#include "base/trace.h"

namespace rhea::block {
namespace {

inline trace::Event<unsigned, uint64_t, uint32_t> trace_request{"nbd_request",
                                                                "command {} offset {} bytes {}"};

constexpr uint32_t kRequestMagic = 0x25609513;
constexpr uint32_t kSimpleMagic = 0x67446698;
constexpr uint32_t kStructuredMagic = 0x668e33ef;
constexpr uint16_t kDone = 1;
constexpr uint16_t kTypeNone = 0;
constexpr uint16_t kTypeData = 1;
constexpr uint16_t kTypeHole = 2;
constexpr uint16_t kTypeStatus = 5;
constexpr uint16_t kTypeErrorBit = 0x8000;
constexpr uint32_t kLargestMessage = 1u << 20;
constexpr size_t kSealedPiece = 256 * 1024;

std::unexpected<Error> confused(std::string_view what) {
  return failf(ErrorKind::Io, "NBD server sent {}", what);
}

// The protocol's numbers are Linux's.
std::unexpected<Error> error_of(uint32_t number) {
  ErrorKind kind = ErrorKind::Io;
  if (number == ENOSPC) kind = ErrorKind::NoSpace;
  if (number == EPERM || number == EROFS) kind = ErrorKind::Permission;
  const bool known = number == EPERM || number == EIO || number == ENOMEM || number == EINVAL ||
                     number == ENOSPC || number == EOVERFLOW || number == ENOTSUP;
  return fail(kind, errno_text(known ? static_cast<int>(number) : EINVAL));
}

}  // namespace

NbdConnection::~NbdConnection() {
  if (reader_.joinable()) {
    std::array<uint8_t, 28> bye{};
    store_be(&bye[0], kRequestMagic);
    store_be(&bye[6], static_cast<uint16_t>(NbdCommand::Disconnect));
    (void)send_all(bye);
    stream_->shut_down();
    reader_.join();
  }
}

// One thread at a time.
Result<> NbdConnection::send_all(std::span<const uint8_t> data) {
  if (!tls_) return stream_->send(data);
  while (!data.empty()) {
    const auto piece = data.first(std::min(data.size(), kSealedPiece));
    const auto sealed = TRY(tls_->seal(piece));
    TRY(stream_->send(sealed));
    data = data.subspan(piece.size());
  }
  return {};
}

Result<> NbdConnection::receive(std::span<uint8_t> into) {
  std::vector<uint8_t> sealed;
  while (!into.empty()) {
    size_t got = tls_ ? TRY(tls_->open(into)) : TRY(stream_->receive(into));
    if (got == 0) {
      sealed.resize(kSealedPiece);
      got = TRY(stream_->receive(sealed));
      TRY(tls_->feed(std::span(sealed).first(got)));
      continue;
    }
    into = into.subspan(got);
  }
  return {};
}

Result<NbdExtent> NbdConnection::request(const NbdRequest& request) {
  trace_request(static_cast<unsigned>(request.command), request.offset, request.length);
  Pending pending{.request = request, .extent = {}};
  uint64_t cookie = 0;
  {
    const std::lock_guard lock(mutex_);
    if (broken_) return error_of(EIO);
    cookie = next_cookie_++;
    pending_[cookie] = &pending;
  }
  std::array<uint8_t, 28> head{};
  store_be(&head[0], kRequestMagic);
  store_be(&head[4], request.flags);
  store_be(&head[6], static_cast<uint16_t>(request.command));
  store_be(&head[8], cookie);
  store_be(&head[16], request.offset);
  store_be(&head[24], request.length);
  {
    const std::lock_guard lock(send_mutex_);
    // A connection that breaks while this is sent is seen by the reader, which answers for the server.
    if (send_all(head) && !request.from.empty()) (void)send_all(request.from);
  }
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return pending.done; });
  if (pending.error != 0) return error_of(pending.error);
  return pending.extent;
}

bool NbdConnection::broken() {
  const std::lock_guard lock(mutex_);
  return broken_;
}

void NbdConnection::read_replies() {
  while (read_reply()) {
  }
  const std::lock_guard lock(mutex_);
  broken_ = true;
  for (auto& [cookie, pending] : pending_) {
    pending->error = EIO;
    pending->done = true;
  }
  pending_.clear();
  answered_.notify_all();
}

// One reply, or one chunk of a structured one. An error: nothing more can be read.
Result<> NbdConnection::read_reply() {
  std::array<uint8_t, 20> head{};
  TRY(receive(std::span(head).first(16)));
  const uint32_t magic = load_be<uint32_t>(&head[0]);
  const uint64_t cookie = load_be<uint64_t>(&head[8]);
  if (magic != kSimpleMagic && (magic != kStructuredMagic || !structured_)) return confused("no reply");
  Pending* pending = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto found = pending_.find(cookie);
    if (found == pending_.end()) return confused("a reply to nothing");
    pending = found->second;
  }
  bool done = true;
  if (magic == kSimpleMagic) {
    pending->error = load_be<uint32_t>(&head[4]);
    if (pending->error == 0 && pending->request.command == NbdCommand::Read) {
      if (structured_) return confused("a simple reply to a read");
      TRY(receive(pending->request.into));
    }
  } else {
    TRY(receive(std::span(head).subspan(16)));
    done = (load_be<uint16_t>(&head[4]) & kDone) != 0;
    TRY(read_chunk(load_be<uint16_t>(&head[6]), load_be<uint32_t>(&head[16]), *pending));
  }
  if (!done) return {};
  const std::lock_guard lock(mutex_);
  pending_.erase(cookie);
  if (pending->error == 0 && pending->request.command == NbdCommand::BlockStatus &&
      pending->extent.length == 0)
    pending->error = EIO;
  // A server may leave nothing out: what it did not send would be what the buffer had before.
  if (pending->error == 0 && structured_ && pending->request.command == NbdCommand::Read &&
      pending->received != pending->request.into.size())
    pending->error = EIO;
  pending->done = true;
  answered_.notify_all();
  return {};
}

Result<> NbdConnection::read_chunk(uint16_t type, uint32_t length, Pending& pending) {
  const NbdRequest& request = pending.request;
  if (type == kTypeData || type == kTypeHole) {
    std::array<uint8_t, 12> head{};
    if (length < (type == kTypeHole ? 12u : 8u) || (type == kTypeHole && length != 12))
      return confused("a chunk of a wrong length");
    TRY(receive(std::span(head).first(type == kTypeHole ? 12 : 8)));
    const uint64_t offset = load_be<uint64_t>(head.data());
    const uint64_t bytes = type == kTypeHole ? load_be<uint32_t>(&head[8]) : length - 8;
    if (request.command != NbdCommand::Read || offset < request.offset ||
        !range_within(offset - request.offset, bytes, request.into.size()))
      return confused("data that nobody asked for");
    pending.received += bytes;
    const auto part =
        request.into.subspan(static_cast<size_t>(offset - request.offset), static_cast<size_t>(bytes));
    if (type == kTypeData) return receive(part);
    std::ranges::fill(part, uint8_t{0});
    return {};
  }
  if (length > kLargestMessage) return confused("too long a chunk");
  std::vector<uint8_t> data(length);
  TRY(receive(data));
  if ((type & kTypeErrorBit) != 0) {
    if (length < 6) return confused("a chunk of a wrong length");
    pending.error = load_be<uint32_t>(data.data());
    if (pending.error == 0) pending.error = EIO;
    return {};
  }
  if (type == kTypeStatus && request.command == NbdCommand::BlockStatus && length >= 12) {
    if (load_be<uint32_t>(data.data()) != context_) return confused("the status of another context");
    pending.extent = {.length = load_be<uint32_t>(&data[4]), .flags = load_be<uint32_t>(&data[8])};
    return {};
  }
  return type == kTypeNone && length == 0 ? Result<>{} : confused("a chunk of an unknown type");
}

}  // namespace rhea::block
