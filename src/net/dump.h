// -object filter-dump: the frames that pass a back end, as a capture file of the classic pcap format (version
// 2.4, microseconds), which tcpdump and Wireshark read. Machine lock held.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "net/endpoint.h"

namespace rhea::net {

struct DumpOptions {
  std::string id, netdev, file;
  uint64_t maxlen = 65536;
  std::string queue = "all";  // "rx": what the back end is sent, "tx": what it sends
  bool status = true;
};

class Dump final : public FrameTap {
 public:
  // `end` outlives this, or forgets it by gone(). Errors: Io, naming the file.
  static Result<std::unique_ptr<Dump>> create(Endpoint& end, const DumpOptions& options);
  ~Dump() override;

  Endpoint* end() const { return end_; }
  void gone() { end_ = nullptr; }
  void frame_passed(Frame frame, bool sent_by_endpoint) override;

 private:
  Dump(Endpoint& end, const DumpOptions& options) : options_(options), end_(&end) {}

  DumpOptions options_;
  Endpoint* end_;
  int fd_ = -1;
};

}  // namespace rhea::net
