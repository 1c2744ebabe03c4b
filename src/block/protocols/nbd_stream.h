// What an NBD connection's bytes go through: a socket, or what a test makes of it. One thread may send while
// another receives; shut_down() ends both from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "block/protocols/nbd_address.h"

namespace rhea::block {

class NbdStream {
 public:
  virtual ~NbdStream() = default;

  virtual Result<> send(std::span<const uint8_t> data) = 0;
  // What has come; waits for at least a byte.
  virtual Result<size_t> receive(std::span<uint8_t> into) = 0;
  // How long receive() waits at most; 0: for ever.
  virtual void limit_wait(unsigned seconds) = 0;
  virtual void shut_down() = 0;
};

Result<std::unique_ptr<NbdStream>> connect_nbd(const NbdAddress& address);

}  // namespace rhea::block
