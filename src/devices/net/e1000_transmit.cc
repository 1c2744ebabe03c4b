// The transmit ring: descriptors into frames. Intel 317453, 3.3 to 3.6.
#include <algorithm>

#include "base/endian.h"
#include "base/log.h"
#include "devices/net/e1000.h"

namespace rhea::devices {

using namespace e1000;

namespace {

// Descriptors that are carried out at one go, before others get the machine lock.
constexpr unsigned kDescriptorsPerTurn = 2048;
constexpr size_t kVlanTag = 4;

}  // namespace

void E1000::transmit() {
  if (transmitting_ || (reg(kTctl) & kTctlEnable) == 0) return;
  const uint32_t count = reg(kTdlen) / kDescriptorSize;
  if (count == 0 || reg(kTdh) == reg(kTdt)) return;
  if (reg(kTdt) >= count) {
    guest_error("e1000: TDT {} lies outside of the ring", reg(kTdt));
    return;
  }
  // A guest may point DMA at this device's own registers: what they would start waits for its turn.
  transmitting_ = true;
  uint32_t causes = 0;
  unsigned done = 0;
  for (; reg(kTdh) != reg(kTdt) && done < kDescriptorsPerTurn; ++done) {
    if (reg(kTdh) >= count) reg(kTdh) = 0;
    if (transmit_descriptor()) causes |= kIntTxdw;
    reg(kTdh) = reg(kTdh) + 1 >= count ? 0 : reg(kTdh) + 1;
  }
  transmitting_ = false;
  if (reg(kTdh) == reg(kTdt)) {
    causes |= kIntTxqe;
  } else {
    more_->arm(clock_.now_ns());
  }
  cause(causes);
}

// Whether its status was written back.
bool E1000::transmit_descriptor() {
  uint8_t descriptor[kDescriptorSize] = {};
  const uint64_t at = (uint64_t{reg(kTdbah)} << 32 | reg(kTdbal)) + uint64_t{reg(kTdh)} * kDescriptorSize;
  if (!dma_read(at, descriptor)) return false;
  const uint8_t command = descriptor[11];
  const bool extended = (command & kTxExtended) != 0;
  const uint32_t second = load_le<uint32_t>(&descriptor[8]);
  if (extended && (second >> 20 & 15) == 0) {
    take_context(descriptor);
  } else {
    if (!frame_begun_) {
      frame_begun_ = true;
      first_command_ = command;
      segmented_ = extended && (command & kTxSegment) != 0;
      options_ = extended ? descriptor[13] : uint8_t{0};
      insert_offset_ = descriptor[10];
      insert_start_ = descriptor[13];
    }
    take_data(load_le<uint64_t>(descriptor), extended ? second & 0xfffff : second & 0xffff);
    if ((command & kTxEndOfPacket) != 0) {
      tag_ = load_le<uint16_t>(&descriptor[14]);
      first_command_ = static_cast<uint8_t>((first_command_ & ~kTxVlan) | (command & kTxVlan));
      if (!extended) first_command_ |= command & kTxInsertChecksum;
      finish_frame();
      frame_size_ = 0;
      frame_too_long_ = frame_begun_ = segmented_ = false;
    }
  }
  if ((command & (kTxReportStatus | kTxReportSent)) == 0) return false;
  const uint8_t status = static_cast<uint8_t>(descriptor[12] | kTxDone);
  return dma_write(at + 12, {&status, 1});
}

void E1000::take_context(const uint8_t* descriptor) {
  const Context context{.ip = load_le<uint32_t>(descriptor),
                        .transport = load_le<uint32_t>(descriptor + 4),
                        .lengths = load_le<uint32_t>(descriptor + 8),
                        .sizes = load_le<uint32_t>(descriptor + 12)};
  if ((context.command() & kTxSegment) != 0) {
    segment_context_ = context;
    count(kTsctc);
  } else {
    context_ = context;
  }
}

void E1000::take_data(uint64_t address, size_t length) {
  if (length > frame_.size() - kVlanTag - frame_size_) {
    frame_too_long_ = true;
    return;
  }
  if (length == 0) return;
  if (!dma_read(address, std::span(frame_).subspan(frame_size_, length))) {
    guest_error("e1000: transmission of {} bytes at {:#x}, where there is no memory", length, address);
    frame_too_long_ = true;
    return;
  }
  frame_size_ += static_cast<uint32_t>(length);
}

// Sums [start, end) and stores the result at `offset`; an end of zero is the frame's.
bool E1000::insert_checksum(size_t size, size_t start, size_t offset, size_t end) {
  const size_t last = end == 0 ? size : std::min(end + 1, size);
  if (start >= last || offset + 2 > size) return false;
  const uint16_t sum = net::checksum_add({frame_.data() + start, last - start});
  store_be<uint16_t>(&frame_[offset], static_cast<uint16_t>(~sum));
  return true;
}

size_t E1000::insert_tag(size_t size) {
  const bool wanted = (first_command_ & kTxVlan) != 0 && (reg(kCtrl) & kCtrlVlanMode) != 0;
  if (!wanted || size < net::kEthernetHeader) return 0;
  std::copy_backward(frame_.begin() + 12, frame_.begin() + static_cast<ptrdiff_t>(size),
                     frame_.begin() + static_cast<ptrdiff_t>(size + kVlanTag));
  store_be<uint16_t>(&frame_[12], static_cast<uint16_t>(reg(kVet)));
  store_be<uint16_t>(&frame_[14], tag_);
  return kVlanTag;
}

void E1000::finish_frame() {
  size_t size = frame_size_;
  if (frame_too_long_ || size == 0) {
    if (frame_too_long_) guest_error("e1000: a frame that is too long is dropped");
    return;
  }
  if (segmented_) return finish_segmented(size);
  net::Offload offload;
  if ((first_command_ & kTxExtended) == 0) {
    if ((first_command_ & kTxInsertChecksum) != 0) insert_checksum(size, insert_start_, insert_offset_, 0);
  } else {
    const Context& c = context_;
    if ((options_ & kTxOptionIp) != 0) insert_checksum(size, c.ip_start(), c.ip_offset(), c.ip_end());
    // Left to whoever takes the frame where it is the usual case.
    const bool usual = c.transport_end() == 0 && c.transport_offset() > c.transport_start() &&
                       c.transport_offset() + 2u <= size;
    if ((options_ & kTxOptionTransport) != 0 && usual) {
      offload.checksum_wanted = true;
      offload.checksum_start = c.transport_start();
      offload.checksum_offset = static_cast<uint16_t>(c.transport_offset() - c.transport_start());
    } else if ((options_ & kTxOptionTransport) != 0) {
      insert_checksum(size, c.transport_start(), c.transport_offset(), c.transport_end());
    }
  }
  const size_t tag = insert_tag(size);
  size += tag;
  offload.checksum_start =
      static_cast<uint16_t>(offload.checksum_start + (offload.checksum_wanted ? tag : 0));
  if (size < net::kSmallestFrame && (reg(kTctl) & kTctlPad) != 0) {
    std::fill(frame_.begin() + static_cast<ptrdiff_t>(size), frame_.begin() + net::kSmallestFrame,
              uint8_t{0});
    size = net::kSmallestFrame;
  }
  count_sent(size);
  send_frame({frame_.data(), size}, offload);
}

// 3.5: one header and a payload that is cut into segments of MSS bytes.
void E1000::finish_segmented(size_t size) {
  const Context& context = segment_context_;
  if ((context.command() & kTxContextTcp) == 0 || context.segment_size() == 0) {
    guest_error("e1000: segmentation of what is not TCP, or into segments of no size");
    return;
  }
  size += insert_tag(size);
  const net::Frame frame(frame_.data(), size);
  const net::Headers headers = net::parse_headers(frame);
  const net::Offload offload{.gso = headers.version == 6 ? net::Gso::Tcp6 : net::Gso::Tcp4,
                             .segment_size = context.segment_size()};
  const size_t payload = headers.payload == 0 ? 0 : headers.end - headers.payload;
  const size_t segments =
      std::max<size_t>(1, (payload + context.segment_size() - 1) / context.segment_size());
  for (size_t i = 0; i < segments && headers.payload != 0; ++i)
    count_sent(headers.payload +
               std::min<size_t>(context.segment_size(), payload - i * context.segment_size()));
  send_frame(frame, offload);
}

void E1000::send_frame(net::Frame frame, const net::Offload& offload) {
  const bool loopback = (reg(kRctl) & kRctlLoopback) == kRctlLoopback || phy_.loopback();
  if (!loopback) {
    end_.send(frame, offload);
    return;
  }
  net::resolve(frame, offload, {}, [this](net::Frame part, const net::Offload& left) {
    if (can_receive()) receive(part, left);
  });
}

void E1000::count_sent(size_t size) {
  count(kGptc);
  count(kTpt);
  count_bytes(kGotcl, static_cast<uint32_t>(size) + 4);
  count_bytes(kTotl, static_cast<uint32_t>(size) + 4);
  if ((frame_[0] & 1) != 0) {
    const bool everyone =
        std::all_of(frame_.begin(), frame_.begin() + 6, [](uint8_t b) { return b == 0xff; });
    count(everyone ? kBptc : kMptc);
  }
}

}  // namespace rhea::devices
