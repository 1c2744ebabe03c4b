#include "block/protocols/nbd.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block {
namespace {

constexpr uint32_t kLargestRange = 1u << 30;  // of requests without data
constexpr uint32_t kHole = 1;
constexpr uint32_t kZero = 2;

class NbdNode final : public ProtocolNode {
 public:
  NbdNode(std::string name, std::unique_ptr<NbdLink> link, const OpenFlags& flags)
      : name_(std::move(name)),
        link_(std::move(link)),
        about_(link_->about()),
        never_sync_(flags.cache == CacheMode::Unsafe),
        sync_each_write_(flags.cache == CacheMode::Writethrough || flags.cache == CacheMode::Directsync) {}

  uint64_t size() const override { return about_.size; }

  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    // What lies behind the end reads as zeros.
    const uint64_t inside = offset < about_.size ? std::min<uint64_t>(into.size(), about_.size - offset) : 0;
    std::ranges::fill(into.subspan(static_cast<size_t>(inside)), uint8_t{0});
    into = into.first(static_cast<size_t>(inside));
    if (into.empty()) return {};
    if (is_aligned(offset | into.size(), about_.least_block)) return read_blocks(offset, into);
    const uint64_t begin = align_down(offset, about_.least_block);
    const uint64_t end = blocks_end(offset + into.size());
    std::vector<uint8_t> whole(static_cast<size_t>(end - begin));
    TRY(read_blocks(begin, whole));
    std::memcpy(into.data(), whole.data() + (offset - begin), into.size());
    return {};
  }

  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    TRY(check_room(offset, from.size()));
    if (from.empty()) return {};
    if (is_aligned(offset | from.size(), about_.least_block)) {
      TRY(write_blocks(offset, from));
      return after_write();
    }
    const std::lock_guard lock(edges_);
    const uint64_t begin = align_down(offset, about_.least_block);
    const uint64_t end = blocks_end(offset + from.size());
    std::vector<uint8_t> whole(static_cast<size_t>(end - begin));
    const size_t edge = std::min<size_t>(whole.size(), about_.least_block);
    TRY(read_blocks(begin, std::span(whole).first(edge)));
    TRY(read_blocks(end - edge, std::span(whole).last(edge)));
    std::memcpy(whole.data() + (offset - begin), from.data(), from.size());
    TRY(write_blocks(begin, whole));
    return after_write();
  }

  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override {
    TRY(check_room(offset, length));
    const uint16_t flags = mode == ZeroMode::KeepAllocated ? kNbdNoHole : uint16_t{0};
    while (length != 0) {
      auto now = static_cast<uint32_t>(std::min<uint64_t>(length, kLargestRange));
      if (about_.can_zero() && is_aligned(offset | now, about_.least_block)) {
        TRY(link_->request({.command = NbdCommand::WriteZeroes,
                            .flags = flags,
                            .offset = offset,
                            .length = now,
                            .from = {},
                            .into = {}}));
      } else {
        now = std::min(now, uint32_t{1} << 20);
        const std::vector<uint8_t> zeros(now);
        TRY(write(offset, zeros));
      }
      offset += now;
      length -= now;
    }
    return after_write();
  }

  Result<> discard(uint64_t offset, uint64_t length) override {
    if (!about_.can_trim() || read_only()) return {};
    uint64_t begin = blocks_end(offset);
    const uint64_t end = std::min(align_down(offset + length, about_.least_block), about_.size);
    while (begin < end) {
      const auto now = static_cast<uint32_t>(std::min<uint64_t>(end - begin, kLargestRange));
      // A hint: where the server cannot, nothing is lost.
      if (!link_->request(
              {.command = NbdCommand::Trim, .offset = begin, .length = now, .from = {}, .into = {}}))
        return {};
      begin += now;
    }
    return {};
  }

  Result<> flush() override {
    if (never_sync_ || !about_.can_flush() || read_only()) return {};
    TRY(link_->request({.command = NbdCommand::Flush, .from = {}, .into = {}}));
    return {};
  }

  Result<Extent> extent(uint64_t offset, uint64_t length) override {
    Extent out{.length = length, .allocated = true, .data = true, .file = this, .file_offset = offset};
    if (!about_.has_extents || offset >= about_.size) return out;
    const uint64_t begin = align_down(offset, about_.least_block);
    const uint64_t wanted = std::min<uint64_t>({offset + length - begin, kLargestRange, about_.size - begin});
    const NbdExtent first = TRY(link_->request({.command = NbdCommand::BlockStatus,
                                                .flags = kNbdReqOne,
                                                .offset = begin,
                                                .length = static_cast<uint32_t>(wanted),
                                                .from = {},
                                                .into = {}}));
    if (begin + first.length <= offset) return out;
    out.length = std::min(length, begin + first.length - offset);
    out.data = (first.flags & kHole) == 0;
    out.zero = (first.flags & kZero) != 0;
    return out;
  }

  Result<> resize(uint64_t size, Preallocation) override {
    if (size > about_.size) return fail(ErrorKind::Unsupported, "Cannot grow NBD nodes");
    return {};
  }
  const std::string& filename() const override { return name_; }
  std::optional<uint64_t> allocated_bytes() const override { return std::nullopt; }
  bool fresh_reads_as_zeros() const override { return false; }
  bool read_only() const { return about_.read_only(); }

 private:
  uint64_t blocks_end(uint64_t at) const {
    return std::min(align_down(at + about_.least_block - 1, about_.least_block), about_.size);
  }
  Result<> check_room(uint64_t offset, uint64_t length) const {
    if (range_within(offset, length, about_.size)) return {};
    return fail(ErrorKind::NoSpace, "No space left on device");
  }
  Result<> after_write() { return sync_each_write_ ? flush() : Result<>{}; }

  Result<> read_blocks(uint64_t offset, std::span<uint8_t> into) {
    while (!into.empty()) {
      const auto part = into.first(std::min<size_t>(into.size(), about_.largest_payload));
      TRY(link_->request({.command = NbdCommand::Read,
                          .offset = offset,
                          .length = static_cast<uint32_t>(part.size()),
                          .from = {},
                          .into = part}));
      offset += part.size();
      into = into.subspan(part.size());
    }
    return {};
  }
  Result<> write_blocks(uint64_t offset, std::span<const uint8_t> from) {
    while (!from.empty()) {
      const auto part = from.first(std::min<size_t>(from.size(), about_.largest_payload));
      TRY(link_->request({.command = NbdCommand::Write,
                          .offset = offset,
                          .length = static_cast<uint32_t>(part.size()),
                          .from = part,
                          .into = {}}));
      offset += part.size();
      from = from.subspan(part.size());
    }
    return {};
  }

  const std::string name_;
  const std::unique_ptr<NbdLink> link_;
  const NbdExport about_;
  const bool never_sync_;
  const bool sync_each_write_;
  std::mutex edges_;  // for blocks that are written in part
};

Result<NbdLink::Seconds> seconds(config::KeyValues& options, const char* key) {
  const std::string text = config::take(options, key).value_or("0");
  uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size())
    return failf(ErrorKind::Invalid, "Parameter '{}' expects seconds from 0 to {}, not '{}'", key, UINT32_MAX,
                 text);
  return NbdLink::Seconds(number);
}

}  // namespace

std::unique_ptr<ProtocolNode> nbd_node(std::string name, std::unique_ptr<NbdLink> link,
                                       const OpenFlags& flags) {
  return std::make_unique<NbdNode>(std::move(name), std::move(link), flags);
}

Result<std::unique_ptr<ProtocolNode>> open_nbd(const std::string& filename, config::KeyValues& options,
                                               const OpenFlags& flags) {
  const NbdAddress address = TRY(nbd_address(filename, options));
  const NbdTls tls{.credentials = config::take(options, "tls-creds").value_or(""),
                   .host = config::take(options, "tls-hostname").value_or(address.host)};
  const auto open_timeout = TRY(seconds(options, "open-timeout"));
  const auto reconnect_delay = TRY(seconds(options, "reconnect-delay"));
  const auto connect = [address, tls]() -> Result<std::unique_ptr<NbdConnection>> {
    auto stream = TRY(connect_nbd(address));
    return NbdConnection::open(std::move(stream), address.export_name, tls);
  };
  auto link = TRY(NbdLink::open(connect, open_timeout, reconnect_delay));
  if (flags.writable && link->about().read_only()) return fail(ErrorKind::Permission, "Permission denied");
  return nbd_node(address.shown(), std::move(link), flags);
}

}  // namespace rhea::block
