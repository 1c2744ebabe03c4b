// The streams of the controller: buffers that go round, at the pace of virtual time. HDA 1.0a, 3.6 and 4.5.
#include <algorithm>

#include "base/endian.h"
#include "base/log.h"
#include "devices/audio/intel_hda.h"
#include "devices/audio/intel_hda_regs.h"

namespace rhea::devices {

using namespace hda;

namespace {

constexpr int64_t kSecondNs = 1'000'000'000, kTickNs = 5'000'000, kLeastNs = 500'000;
// What is later than this is left out: a machine that stood still does not catch up for minutes.
constexpr int64_t kMostLateNs = 500'000'000;
constexpr int64_t kForgottenNs = 60 * kSecondNs;
constexpr size_t kDescriptorBytes = 16;

}  // namespace

void IntelHda::write_stream(unsigned index, unsigned offset, uint32_t value, uint32_t mask) {
  Stream& stream = streams_[index];
  switch (offset) {
    case kSDCTL:
      run_streams();
      set_stream_control(index, merged(stream.control, value, mask, 0xffffff));
      stream.status = static_cast<uint8_t>(stream.status & ~((value & mask) >> 24));
      break;
    case kSDCBL: stream.length = merged(stream.length, value, mask, 0xffffffff); break;
    case kSDLVI: stream.last = merged(stream.last, value, mask, 0xff); break;
    case kSDFIFOS:
      stream.format.bits =
          static_cast<uint16_t>(merged(uint32_t{stream.format.bits} << 16, value, mask, 0x7f7f0000) >> 16);
      stream.since_ns = wiring_.clock.now_ns();
      stream.moved = 0;
      break;
    case kSDBDPL: stream.list_low = merged(stream.list_low, value, mask, 0xffffff80); break;
    case kSDBDPU: stream.list_high = merged(stream.list_high, value, mask, 0xffffffff); break;
    default: break;
  }
}

void IntelHda::set_stream_control(unsigned index, uint32_t value) {
  Stream& stream = streams_[index];
  const bool ran = stream.running();
  if (ran) tell_codecs(index, false);
  if ((value & kSRST) != 0) {
    stream = {};
    stream.control = kSRST;
  } else {
    stream.control = value;
  }
  if (stream.running()) {
    if (!ran) {
      stream.since_ns = wiring_.clock.now_ns();
      stream.moved = 0;
    }
    tell_codecs(index, true);
  }
  schedule();
}

void IntelHda::tell_codecs(unsigned index, bool running) {
  const unsigned tag = streams_[index].control >> 20 & 0xf;
  for (HdaCodec* codec : bus_.all()) {
    if (codec != nullptr) codec->stream_running(tag, index >= kInputs, running);
  }
}

void IntelHda::schedule() {
  int64_t wait = -1;
  for (const Stream& stream : streams_) {
    if (!stream.running()) continue;
    Descriptor now{};
    int64_t until = kTickNs;
    if (descriptor(stream, now) && now.length > stream.entry_done) {
      const int64_t frames = (now.length - stream.entry_done) / stream.format.frame_bytes() + 1;
      until = std::clamp(frames * kSecondNs / std::max(1u, stream.format.rate()), kLeastNs, kTickNs);
    }
    wait = wait < 0 ? until : std::min(wait, until);
  }
  if (wait < 0) {
    timer_->cancel();
  } else {
    timer_->arm(wiring_.clock.now_ns() + wait);
  }
}

void IntelHda::run_streams() {
  const int64_t now = wiring_.clock.now_ns();
  bool any = false;
  for (unsigned i = 0; i < kStreams; ++i) {
    if (!streams_[i].running()) continue;
    run_stream(i, now);
    any = true;
  }
  if (!any) return;
  write_positions();
  drive();
}

void IntelHda::run_stream(unsigned index, int64_t now) {
  Stream& stream = streams_[index];
  const auto rate = static_cast<int64_t>(stream.format.rate());
  const unsigned frame = stream.format.frame_bytes();
  if (stream.since_ns > now || stream.since_ns < now - kForgottenNs) {  // a state that was loaded
    stream.since_ns = now;
    stream.moved = 0;
  }
  int64_t elapsed = now - stream.since_ns;
  // Whole seconds are taken off, so that nothing overflows and nothing is rounded away.
  if (elapsed >= kSecondNs) {
    const int64_t seconds = elapsed / kSecondNs;
    const uint64_t bytes = static_cast<uint64_t>(seconds * rate) * frame;
    stream.since_ns += seconds * kSecondNs;
    elapsed -= seconds * kSecondNs;
    const uint64_t late = bytes > stream.moved ? bytes - stream.moved : 0;
    stream.moved = bytes > stream.moved ? 0 : stream.moved - bytes;
    if (late != 0) {
      const uint64_t most = static_cast<uint64_t>(rate * kMostLateNs / kSecondNs) * frame;
      move(index, static_cast<uint32_t>(std::min(late, most)));
    }
  }
  const uint64_t due = static_cast<uint64_t>(elapsed * rate / kSecondNs) * frame;
  if (due <= stream.moved) return;
  const auto bytes = static_cast<uint32_t>(due - stream.moved);
  stream.moved = due;
  move(index, bytes);
}

// The entry that the stream is in. False: there is no list.
bool IntelHda::descriptor(const Stream& stream, Descriptor& out) {
  uint8_t bytes[kDescriptorBytes] = {};
  const uint64_t list = uint64_t{stream.list_high} << 32 | stream.list_low;
  if (!dma_read(list + kDescriptorBytes * stream.entry, bytes)) return false;
  out.address = load_le<uint64_t>(bytes);
  out.length = load_le<uint32_t>(bytes + 8);
  out.interrupt = (load_le<uint32_t>(bytes + 12) & 1) != 0;
  return true;
}

// Moves this many bytes along the list.
void IntelHda::move(unsigned index, uint32_t bytes) {
  Stream& stream = streams_[index];
  // Entries without a length are the guest's mistake: it may not keep the machine busy with them.
  unsigned empty = 0;
  while (bytes != 0) {
    Descriptor now{};
    if (!descriptor(stream, now)) {
      stream.status |= kDESE;
      return;
    }
    const uint32_t left = now.length > stream.entry_done ? now.length - stream.entry_done : 0;
    const uint32_t count = std::min(left, bytes);
    if (count != 0 && !transfer(index, now.address + stream.entry_done, count)) stream.status |= kDESE;
    empty = count == 0 ? empty + 1 : 0;
    bytes -= count;
    stream.entry_done += count;
    stream.position += count;
    if (stream.length != 0) stream.position %= stream.length;
    if (stream.entry_done < now.length) continue;
    stream.entry_done = 0;
    stream.entry = stream.entry >= stream.last ? 0 : static_cast<uint16_t>(stream.entry + 1);
    if (now.interrupt) stream.status |= kBCIS;
    if (empty > 256) return;
  }
}

bool IntelHda::transfer(unsigned index, uint64_t address, uint32_t bytes) {
  const unsigned tag = streams_[index].control >> 20 & 0xf;
  std::array<uint8_t, 4096> buffer;
  const size_t most = buffer.size() - buffer.size() % streams_[index].format.frame_bytes();
  bool good = true;
  while (bytes != 0) {
    const auto part = std::span(buffer).first(std::min<size_t>(bytes, most));
    if (index >= kInputs) {
      std::ranges::fill(part, uint8_t{0});
      good = dma_read(address, part) && good;
      for (HdaCodec* codec : bus_.all()) {
        if (codec != nullptr) codec->play(tag, part);
      }
    } else {
      std::ranges::fill(part, uint8_t{0});
      for (HdaCodec* codec : bus_.all()) {
        if (codec != nullptr) codec->record(tag, part);
      }
      good = dma_write(address, part) && good;
    }
    address += part.size();
    bytes -= static_cast<uint32_t>(part.size());
  }
  return good;
}

// 3.3.32: positions in memory, for drivers that do not like to read registers.
void IntelHda::write_positions() {
  if ((position_low_ & kPositionsEnabled) == 0) return;
  const uint64_t base = uint64_t{position_high_} << 32 | (position_low_ & ~0x7fu);
  for (unsigned i = 0; i < kStreams; ++i) {
    uint8_t bytes[4];
    store_le<uint32_t>(bytes, streams_[i].position);
    static_cast<void>(dma_write(base + uint64_t{8} * i, bytes));
  }
}

}  // namespace rhea::devices
