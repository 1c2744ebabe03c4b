#include "net/offload.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/endian.h"

namespace rhea::net {

namespace {

constexpr uint16_t kEtherIp4 = 0x0800, kEtherIp6 = 0x86dd, kEtherVlan = 0x8100, kEtherServiceVlan = 0x88a8;
constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60;
constexpr uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;
constexpr size_t kTcpChecksum = 16, kUdpChecksum = 6, kIp4Checksum = 10;

uint16_t fold(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

bool parse_ip4(Frame frame, Headers& h) {
  const size_t left = frame.size() - h.ip;
  if (left < 20 || frame[h.ip] >> 4 != 4) return false;
  const size_t header = (frame[h.ip] & 15u) * 4;
  const size_t total = load_be<uint16_t>(&frame[h.ip + 2]);
  // A length of zero is how drivers leave it to hardware that segments.
  if (header < 20 || header > left || (total != 0 && (total < header || total > left))) return false;
  h.version = 4;
  h.protocol = frame[h.ip + 9];
  h.fragment = (load_be<uint16_t>(&frame[h.ip + 6]) & 0x3fff) != 0;
  h.transport = h.ip + header;
  h.end = total == 0 ? frame.size() : h.ip + total;
  return true;
}

bool parse_ip6(Frame frame, Headers& h) {
  const size_t left = frame.size() - h.ip;
  if (left < 40 || frame[h.ip] >> 4 != 6) return false;
  const size_t length = load_be<uint16_t>(&frame[h.ip + 4]);
  if (length > left - 40) return false;
  h.end = length == 0 ? frame.size() : h.ip + 40 + length;
  uint8_t next = frame[h.ip + 6];
  size_t at = h.ip + 40;
  for (int i = 0; i < 8; ++i) {
    const bool extension = next == kHopByHop || next == kRouting || next == kDestination || next == kFragment;
    if (!extension) break;
    if (h.end - at < 8) return false;
    const size_t size = next == kFragment ? 8 : (size_t{frame[at + 1]} + 1) * 8;
    if (next == kFragment) h.fragment = true;
    if (size > h.end - at) return false;
    next = frame[at];
    at += size;
  }
  h.version = 6;
  h.protocol = next;
  h.transport = at;
  return true;
}

size_t checksum_field(const Headers& h) {
  return h.transport + (h.protocol == kTcp ? kTcpChecksum : kUdpChecksum);
}

// A sum of zero stands for "no checksum" in UDP, which sends its other form.
uint16_t finished(uint16_t sum, bool udp) {
  const uint16_t value = static_cast<uint16_t>(~sum);
  return udp && value == 0 ? uint16_t{0xffff} : value;
}

void set_ip4_checksum(std::span<uint8_t> frame, const Headers& h) {
  store_be<uint16_t>(&frame[h.ip + kIp4Checksum], 0);
  const uint16_t sum = checksum_add(frame.subspan(h.ip, h.transport - h.ip));
  store_be<uint16_t>(&frame[h.ip + kIp4Checksum], static_cast<uint16_t>(~sum));
}

void set_transport_checksum(std::span<uint8_t> frame, const Headers& h) {
  uint8_t* field = &frame[checksum_field(h)];
  store_be<uint16_t>(field, 0);
  const uint16_t pseudo = pseudo_header_sum(frame, h, h.end - h.transport);
  const uint16_t sum = checksum_add(frame.subspan(h.transport, h.end - h.transport), pseudo);
  store_be<uint16_t>(field, finished(sum, h.protocol == kUdp));
}

// The lengths and checksums of a packet that ends at h.end.
void complete(std::span<uint8_t> frame, Headers& h) {
  const size_t length = h.end - h.ip;
  if (h.version == 4) {
    store_be<uint16_t>(&frame[h.ip + 2], static_cast<uint16_t>(length));
    set_ip4_checksum(frame, h);
  } else {
    store_be<uint16_t>(&frame[h.ip + 4], static_cast<uint16_t>(length - 40));
  }
  if (h.protocol == kUdp)
    store_be<uint16_t>(&frame[h.transport + 4], static_cast<uint16_t>(h.end - h.transport));
  set_transport_checksum(frame, h);
}

bool fill_checksum(std::vector<uint8_t>& frame, const Offload& offload) {
  const size_t start = offload.checksum_start, field = start + offload.checksum_offset;
  if (start >= frame.size() || field + 2 > frame.size()) return false;
  const uint16_t sum = checksum_add(std::span(frame).subspan(start));
  store_be<uint16_t>(&frame[field], finished(sum, offload.checksum_offset == kUdpChecksum));
  return true;
}

bool segment(Frame frame, const Headers& h, const Offload& offload, const FrameSink& sink) {
  const size_t headers = h.payload, size = offload.segment_size;
  if (size == 0 || headers + size > kLargestFrame) return false;
  std::vector<uint8_t> part(headers + size);
  const uint32_t sequence = load_be<uint32_t>(&frame[h.transport + 4]);
  const uint16_t id = h.version == 4 ? load_be<uint16_t>(&frame[h.ip + 4]) : uint16_t{0};
  const uint8_t flags = frame[h.transport + 13];
  uint16_t number = 0;
  for (size_t at = headers; at < h.end || at == headers; at += size, ++number) {
    const size_t length = std::min(size, h.end - at);
    const bool last = at + length == h.end;
    std::memcpy(part.data(), frame.data(), headers);
    std::memcpy(part.data() + headers, frame.data() + at, length);
    const std::span<uint8_t> bytes(part.data(), headers + length);
    store_be<uint32_t>(&bytes[h.transport + 4], sequence + static_cast<uint32_t>(at - headers));
    uint8_t kept = flags;
    if (!last) kept &= static_cast<uint8_t>(~(kFin | kPsh));
    if (number != 0) kept &= static_cast<uint8_t>(~kCwr);
    bytes[h.transport + 13] = kept;
    if (h.version == 4) store_be<uint16_t>(&bytes[h.ip + 4], static_cast<uint16_t>(id + number));
    Headers mine = h;
    mine.end = bytes.size();
    complete(bytes, mine);
    sink(bytes, {.checksum_good = true});
    if (last) break;
  }
  return true;
}

}  // namespace

uint16_t checksum_add(std::span<const uint8_t> bytes, uint16_t carry) {
  // Any word size gives the same ones' complement sum, and so does either byte order once it is swapped at
  // the end (RFC 1071, 2).
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  if (i < bytes.size()) {
    std::array<uint8_t, 8> tail{};
    std::memcpy(tail.data(), bytes.data() + i, bytes.size() - i);
    uint64_t word;
    std::memcpy(&word, tail.data(), 8);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  return fold(uint64_t{std::byteswap(fold(sum))} + carry);
}

Headers parse_headers(Frame frame) {
  Headers h;
  if (frame.size() < kEthernetHeader) return h;
  size_t at = 12;
  uint16_t type = load_be<uint16_t>(&frame[at]);
  for (int i = 0; i < 2 && (type == kEtherVlan || type == kEtherServiceVlan); ++i) {
    at += 4;
    if (at + 2 > frame.size()) return h;
    type = load_be<uint16_t>(&frame[at]);
  }
  h.ip = at + 2;
  const bool good = (type == kEtherIp4 && parse_ip4(frame, h)) || (type == kEtherIp6 && parse_ip6(frame, h));
  if (!good) return {};
  if (h.fragment) return h;
  const size_t left = h.end - h.transport;
  if (h.protocol == kUdp && left >= 8) h.payload = h.transport + 8;
  if (h.protocol == kTcp && left >= 20) {
    const size_t header = (frame[h.transport + 12] >> 4) * size_t{4};
    if (header >= 20 && header <= left) h.payload = h.transport + header;
  }
  return h;
}

uint16_t pseudo_header_sum(Frame frame, const Headers& h, size_t length) {
  const size_t addresses = h.version == 4 ? 8 : 32;
  const uint16_t sum = checksum_add(frame.subspan(h.ip + (h.version == 4 ? 12 : 8), addresses));
  return fold(uint64_t{sum} + h.protocol + (length & 0xffff) + (length >> 16));
}

ChecksumState verify_ip_checksum(Frame frame, const Headers& h) {
  if (h.version != 4) return ChecksumState::Unknown;
  return checksum_add(frame.subspan(h.ip, h.transport - h.ip)) == 0xffff ? ChecksumState::Good
                                                                         : ChecksumState::Bad;
}

ChecksumState verify_transport_checksum(Frame frame, const Headers& h) {
  if (h.payload == 0) return ChecksumState::Unknown;
  if (h.protocol == kUdp) {
    if (load_be<uint16_t>(&frame[h.transport + kUdpChecksum]) == 0) return ChecksumState::Unknown;
    if (load_be<uint16_t>(&frame[h.transport + 4]) != h.end - h.transport) return ChecksumState::Bad;
  }
  const size_t length = h.end - h.transport;
  const uint16_t pseudo = pseudo_header_sum(frame, h, length);
  const uint16_t sum = checksum_add(frame.subspan(h.transport, length), pseudo);
  return sum == 0xffff ? ChecksumState::Good : ChecksumState::Bad;
}

bool complete_packet(std::span<uint8_t> frame) {
  Headers h = parse_headers(frame);
  if (h.payload == 0 || frame.size() - h.ip > 0xffff) return false;
  h.end = frame.size();
  complete(frame, h);
  return true;
}

bool resolve(Frame frame, const Offload& offload, const Takes& takes, const FrameSink& sink) {
  const bool large = offload.gso != Gso::None;
  if (large) {
    const Headers h = parse_headers(frame);
    const uint8_t version = offload.gso == Gso::Tcp4 ? 4 : 6;
    if (h.version != version || h.protocol != kTcp || h.payload == 0) return false;
    const bool fits = h.end - h.payload <= offload.segment_size;
    if (!takes.large && !fits) return segment(frame, h, offload, sink);
  }
  if (!large && (!offload.checksum_wanted || takes.partial_checksum)) {
    sink(frame, offload);
    return true;
  }
  std::vector<uint8_t> whole(frame.begin(), frame.end());
  const bool good = large ? complete_packet(whole) : fill_checksum(whole, offload);
  if (!good) return false;
  Offload done{.checksum_good = true};
  if (takes.large && large) {
    done.gso = offload.gso;
    done.segment_size = offload.segment_size;
  }
  sink(whole, done);
  return true;
}

}  // namespace rhea::net
