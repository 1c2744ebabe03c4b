// A connection to an NBD server that is made again after it broke: requests wait for it for `reconnect_delay`
// and are then sent once more; after that, and without a delay, they fail at once, and later ones try to
// connect, at most once a second. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "block/protocols/nbd_connection.h"

namespace rhea::block {

class NbdLink {
 public:
  using Connect = std::function<Result<std::unique_ptr<NbdConnection>>()>;
  using Seconds = std::chrono::seconds;

  // Tries for `open_timeout`; 0: once.
  static Result<std::unique_ptr<NbdLink>> open(Connect connect, Seconds open_timeout,
                                               Seconds reconnect_delay);

  // Of the first connection; one to something else is not taken up later.
  const NbdExport& about() const { return about_; }
  Result<NbdExtent> request(const NbdRequest& request);

 private:
  using Clock = std::chrono::steady_clock;
  using Connection = std::shared_ptr<NbdConnection>;

  NbdLink(Connect connect, Connection first, Seconds reconnect_delay)
      : connect_(std::move(connect)),
        reconnect_delay_(reconnect_delay),
        about_(first->about()),
        connection_(std::move(first)) {}

  Connection current();
  Result<Connection> after(const Connection& broken);
  Result<Connection> connect_again();

  const Connect connect_;
  const Seconds reconnect_delay_;
  const NbdExport about_;

  std::mutex mutex_;  // of what follows; who waits for a connection holds it, the others wait for him
  Connection connection_;
  std::optional<Clock::time_point> broken_since_;
  Clock::time_point next_try_;
};

}  // namespace rhea::block
