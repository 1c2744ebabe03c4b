#include "block/protocols/nbd_link.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/failf.h"

namespace rhea::block {
namespace {

constexpr std::chrono::milliseconds kBetweenTries{1000};

}  // namespace

Result<std::unique_ptr<NbdLink>> NbdLink::open(Connect connect, Seconds open_timeout,
                                               Seconds reconnect_delay) {
  const auto deadline = Clock::now() + open_timeout;
  auto first = connect();
  while (!first && Clock::now() < deadline) {
    std::this_thread::sleep_until(std::min(deadline, Clock::now() + kBetweenTries));
    first = connect();
  }
  if (!first) return std::unexpected(first.error());
  return std::unique_ptr<NbdLink>(new NbdLink(std::move(connect), std::move(*first), reconnect_delay));
}

NbdLink::Connection NbdLink::current() {
  const std::lock_guard lock(mutex_);
  return connection_;
}

Result<NbdExtent> NbdLink::request(const NbdRequest& request) {
  Connection connection = current();
  bool sent = false;
  while (true) {
    if (!connection->broken()) {
      auto result = connection->request(request);
      if (result || !connection->broken()) return result;
      if (reconnect_delay_ == Seconds(0)) return result;
      sent = true;
    }
    auto next = after(connection);
    if (!next && sent) return fail(ErrorKind::Io, errno_text(EIO));
    if (!next) return std::unexpected(next.error());
    connection = std::move(*next);
  }
}

Result<NbdLink::Connection> NbdLink::after(const Connection& broken) {
  const std::lock_guard lock(mutex_);
  if (connection_ != broken) return connection_;
  if (!broken_since_) {
    broken_since_ = Clock::now();
    next_try_ = std::max(next_try_, *broken_since_);
  }
  const auto deadline = *broken_since_ + reconnect_delay_;
  while (true) {
    if (Clock::now() >= next_try_) {
      auto connection = connect_again();
      if (connection) return connection;
      next_try_ = Clock::now() + kBetweenTries;
    }
    if (Clock::now() >= deadline) return fail(ErrorKind::Io, errno_text(EIO));
    std::this_thread::sleep_until(std::min(deadline, next_try_));
  }
}

Result<NbdLink::Connection> NbdLink::connect_again() {
  Connection next = TRY(connect_());
  const NbdExport& now = next->about();
  if (now.size != about_.size || now.flags != about_.flags || now.least_block > about_.least_block ||
      now.largest_payload < about_.largest_payload || (about_.has_extents && !now.has_extents))
    return fail(ErrorKind::Io, "NBD server came back with another export");
  connection_ = std::move(next);
  broken_since_.reset();
  next_try_ = Clock::now() + kBetweenTries;  // also where a server lets in and throws out
  return connection_;
}

}  // namespace rhea::block
