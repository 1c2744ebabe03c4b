// The receive side: filters and the receive ring. Intel 317453, 3.2.
#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "base/log.h"
#include "devices/net/e1000.h"

namespace rhea::devices {

using namespace e1000;

namespace {

constexpr size_t kFcs = 4;
constexpr size_t kLongest = 1518, kLongestTagged = 1522, kLongestLong = 16384;

bool is_broadcast(const uint8_t* address) {
  return std::all_of(address, address + 6, [](uint8_t byte) { return byte == 0xff; });
}

}  // namespace

// While reception is off frames are lost, not kept.
bool E1000::can_receive() {
  return !receiving_ && ((reg(kRctl) & kRctlEnable) == 0 || free_descriptors() != 0);
}

unsigned E1000::free_descriptors() const {
  const uint32_t count = reg(kRdlen) / kDescriptorSize, head = reg(kRdh), tail = reg(kRdt);
  if (count == 0 || head >= count || tail >= count) return 0;
  return tail >= head ? tail - head : count - head + tail;
}

size_t E1000::buffer_size() const {
  const unsigned code = reg(kRctl) >> 16 & 3;
  if ((reg(kRctl) & kRctlSizeExtension) != 0 && code != 0) return size_t{32768} >> code;
  return size_t{2048} >> code;
}

bool E1000::passes_filter(const uint8_t* destination) {
  const uint32_t rctl = reg(kRctl);
  if (is_broadcast(destination)) return (rctl & kRctlBroadcast) != 0;
  const bool group = (destination[0] & 1) != 0;
  if ((rctl & (group ? kRctlMulticast : kRctlUnicast)) != 0) return true;
  for (uint32_t at = kRal; at < kRalEnd; at += 8) {
    const uint32_t low = reg(at), high = reg(at + 4);
    if ((high & kRahValid) == 0 || (high & kRahSource) != 0) continue;
    if (load_le<uint32_t>(destination) == low && load_le<uint16_t>(destination + 4) == (high & 0xffff))
      return true;
  }
  if (!group) return false;
  // 13.5.1: twelve bits of the address, chosen by RCTL.MO, are the index of a bit.
  constexpr unsigned kShifts[] = {4, 3, 2, 0};
  const unsigned hash = load_le<uint16_t>(destination + 4) >> kShifts[rctl >> 12 & 3] & 0xfff;
  return (reg(kMta + hash / 32 * 4) >> hash % 32 & 1) != 0;
}

bool E1000::accepts(net::Frame frame) {
  if (!passes_filter(frame.data())) return false;
  const bool tagged = load_be<uint16_t>(&frame[12]) == (reg(kVet) & 0xffff) && frame.size() >= 18;
  const size_t length = frame.size() + kFcs;
  const bool longer = length > (tagged ? kLongestTagged : kLongest);
  if (longer && ((reg(kRctl) & kRctlLong) == 0 || length > kLongestLong)) return false;
  if (!tagged || (reg(kRctl) & kRctlVlanFilter) == 0) return true;
  const uint16_t tag = load_be<uint16_t>(&frame[14]);
  if ((reg(kRctl) & kRctlCfiEnable) != 0 && ((tag >> 12 & 1) != 0) != ((reg(kRctl) & kRctlCfi) != 0))
    return false;
  return (reg(kVfta + (tag >> 5 & 0x7f) * 4) >> (tag & 31) & 1) != 0;
}

void E1000::check_sums(net::Frame frame, const net::Offload& offload, uint8_t& status, uint8_t& errors) {
  const uint32_t wanted = reg(kRxcsum) & (kRxcsumIp | kRxcsumTransport);
  const net::Headers headers = wanted == 0 ? net::Headers{} : net::parse_headers(frame);
  if (headers.version == 0) {
    status |= kRxIgnoreChecksum;
    return;
  }
  if ((wanted & kRxcsumIp) != 0 && headers.version == 4) {
    status |= kRxIpChecked;
    if (net::verify_ip_checksum(frame, headers) == net::ChecksumState::Bad) errors |= kRxIpError;
  }
  if ((wanted & kRxcsumTransport) == 0 || headers.payload == 0) return;
  if (!offload.checksum_good) {
    const auto found = net::verify_transport_checksum(frame, headers);
    if (found == net::ChecksumState::Unknown) return;
    if (found == net::ChecksumState::Bad) errors |= kRxTransportError;
  }
  status |= kRxTransportChecked;
}

void E1000::receive(net::Frame frame, const net::Offload& offload) {
  if ((reg(kRctl) & kRctlEnable) == 0 || frame.size() < net::kEthernetHeader) return;
  uint8_t padded[net::kSmallestFrame] = {};
  if (frame.size() < net::kSmallestFrame) {
    std::memcpy(padded, frame.data(), frame.size());
    frame = padded;
  }
  count(kTpr);
  count_bytes(kTorl, static_cast<uint32_t>(frame.size() + kFcs));
  if (!accepts(frame)) return;
  uint8_t status = kRxDone, errors = 0;
  uint16_t tag = 0;
  check_sums(frame, offload, status, errors);
  const bool strip = (reg(kCtrl) & kCtrlVlanMode) != 0 && frame.size() >= 18 &&
                     load_be<uint16_t>(&frame[12]) == (reg(kVet) & 0xffff);
  if (strip) {
    status |= kRxVlan;
    tag = load_be<uint16_t>(&frame[14]);
    scratch_.assign(frame.begin(), frame.begin() + 12);
    scratch_.insert(scratch_.end(), frame.begin() + 16, frame.end());
    frame = scratch_;
  }
  store_frame(frame, status, errors, tag);
}

void E1000::store_frame(net::Frame frame, uint8_t status, uint8_t errors, uint16_t tag) {
  const size_t fcs = (reg(kRctl) & kRctlStripCrc) != 0 ? 0 : kFcs;
  const size_t total = frame.size() + fcs, buffer = buffer_size();
  const uint32_t count_all = reg(kRdlen) / kDescriptorSize;
  if ((total + buffer - 1) / buffer > free_descriptors()) {
    count(kMpc);
    return cause(kIntRxo);
  }
  receiving_ = true;
  const uint64_t base = uint64_t{reg(kRdbah)} << 32 | reg(kRdbal);
  for (size_t at = 0; at < total;) {
    const uint64_t place = base + uint64_t{reg(kRdh)} * kDescriptorSize;
    uint8_t descriptor[kDescriptorSize] = {};
    if (!dma_read(place, descriptor)) break;
    const uint64_t address = load_le<uint64_t>(descriptor);
    const size_t length = std::min(buffer, total - at);
    const size_t data = at < frame.size() ? std::min(length, frame.size() - at) : 0;
    constexpr uint8_t kNoFcs[kFcs] = {};
    if (address != 0) {  // a null descriptor takes room and no data
      if (data != 0) dma_write(address, frame.subspan(at, data));
      if (data < length) dma_write(address + data, std::span(kNoFcs).first(length - data));
    }
    at += length;
    const uint8_t last = at >= total ? kRxEndOfPacket : uint8_t{0};
    const Stored stored{.length = static_cast<uint16_t>(length),
                        .status = static_cast<uint8_t>(status | last),
                        .errors = errors,
                        .tag = tag};
    if (!write_back(place, stored)) {
      store_le<uint16_t>(&descriptor[8], stored.length);
      store_le<uint16_t>(&descriptor[10], 0);
      descriptor[12] = stored.status;
      descriptor[13] = stored.errors;
      store_le<uint16_t>(&descriptor[14], stored.tag);
      // In one piece: a driver that sees DD sees the rest.
      dma_write(place + 8, std::span(descriptor).subspan(8));
    }
    reg(kRdh) = reg(kRdh) + 1 >= count_all ? 0 : reg(kRdh) + 1;
    if (reg(kRdh) == reg(kRdt)) break;
  }
  receiving_ = false;
  count_received(frame);
  uint32_t causes = kIntRxt0;
  const unsigned threshold = count_all >> ((reg(kRctl) >> 8 & 3) + 1);
  if (free_descriptors() <= threshold) causes |= kIntRxdmt0;
  cause(causes);
}

void E1000::count_received(net::Frame frame) {
  const size_t length = frame.size() + kFcs;
  count(kGprc);
  count_bytes(kGorcl, static_cast<uint32_t>(length));
  if ((frame[0] & 1) != 0) count(is_broadcast(frame.data()) ? kBprc : kMprc);
  if (length <= 64) return count(kPrc64);
  if (length <= 127) return count(kPrc127);
  if (length <= 255) return count(kPrc255);
  if (length <= 511) return count(kPrc511);
  count(length <= 1023 ? kPrc1023 : kPrc1522);
}

}  // namespace rhea::devices
