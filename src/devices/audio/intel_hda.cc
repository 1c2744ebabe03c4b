#include "devices/audio/intel_hda.h"

#include <algorithm>

#include "base/endian.h"
#include "base/log.h"
#include "devices/audio/intel_hda_regs.h"

namespace rhea::devices {

using namespace hda;

namespace {

constexpr uint64_t kBarSize = 0x4000;
constexpr uint32_t kCapabilities = 0x01004401;  // version 1.0; 4 output, 4 input streams, 64-bit addresses
constexpr uint32_t kPayloads = 0x001d003c;      // words a frame: 29 in, 60 out
constexpr uint32_t kFifoBytes = 0x100;
constexpr uint64_t kWallHz = 24'000'000, kSecondNs = 1'000'000'000;

bus::pci::Identity identity(IntelHda::Model model) {
  const bool ich6 = model == IntelHda::Model::Ich6;
  return {.vendor = 0x8086,
          .device = static_cast<uint16_t>(ich6 ? 0x2668 : 0x293e),
          .revision = static_cast<uint8_t>(ich6 ? 1 : 3),
          .class_code = 0x040300,
          .interrupt_pin = 1};
}

}  // namespace

bool IntelHda::Stream::running() const {
  return (control & (kRUN | kSRST)) == kRUN;
}

IntelHda::IntelHda(const Wiring& wiring) : PciFunction(identity(wiring.model)), wiring_(wiring) {
  constexpr unsigned kHdctl = 0x40, kMsi = 0x60;
  define8(kHdctl, 1);  // the link speaks HDA, not AC'97
  if (wiring_.msi) {
    msi_ = std::make_unique<bus::pci::Msi>(*this, kMsi, bus::pci::Msi::Options{.vectors = 1, .wide = true});
  }
  add_bar(0, bus::pci::BarKind::Memory32, kBarSize, *this);
  timer_ = wiring_.clock.make_timer([this] {
    run_streams();
    schedule();
  });
}

void IntelHda::reset(bus::ResetKind kind) {
  global_control_ = 0;
  link_reset();
  PciFunction::reset(kind);
}

// 3.3.7: CRST. Everything but the wake registers is as after power-on.
void IntelHda::link_reset() {
  timer_->cancel();
  for (unsigned i = 0; i < kStreams; ++i) {
    if (streams_[i].running()) tell_codecs(i, false);
    streams_[i] = {};
  }
  rings_ = {};
  wake_enable_ = state_change_ = 0;
  interrupt_control_ = 0;
  position_low_ = position_high_ = 0;
  immediate_ = immediate_response_ = 0;
  immediate_status_ = 0;
  wall_since_ns_ = wiring_.clock.now_ns();
  drive();
}

void IntelHda::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.field("global_control", global_control_);
  v.field("wake_enable", wake_enable_);
  v.field("state_change", state_change_);
  v.field("interrupt_control", interrupt_control_);
  v.field("position_low", position_low_);
  v.field("position_high", position_high_);
  v.field("immediate", immediate_);
  v.field("immediate_response", immediate_response_);
  v.field("immediate_status", immediate_status_);
  v.field("wall_since_ns", wall_since_ns_);
  for (uint32_t* value : {&rings_.corb_low, &rings_.corb_high, &rings_.rirb_low, &rings_.rirb_high}) {
    v.field("base", *value);
  }
  for (uint16_t* value :
       {&rings_.corb_write, &rings_.corb_read, &rings_.rirb_write, &rings_.rirb_count, &rings_.responses}) {
    v.field("ring", *value);
  }
  for (uint8_t* value : {&rings_.corb_control, &rings_.corb_status, &rings_.corb_size, &rings_.rirb_control,
                         &rings_.rirb_status, &rings_.rirb_size}) {
    v.field("ring_control", *value);
  }
  for (Stream& stream : streams_) {
    v.enter("stream");
    v.field("control", stream.control);
    v.field("status", stream.status);
    v.field("position", stream.position);
    v.field("length", stream.length);
    v.field("last", stream.last);
    v.field("format", stream.format.bits);
    v.field("list_low", stream.list_low);
    v.field("list_high", stream.list_high);
    v.field("entry", stream.entry);
    v.field("entry_done", stream.entry_done);
    v.field("since_ns", stream.since_ns);
    v.field("moved", stream.moved);
    v.leave();
  }
  if (!v.loading()) return;
  for (unsigned i = 0; i < kStreams; ++i) {
    Stream& stream = streams_[i];
    stream.last &= 0xff;
    stream.entry &= 0xff;
    tell_codecs(i, stream.running());
  }
  schedule();
  drive();
}

uint32_t IntelHda::interrupt_status() const {
  uint32_t status = 0;
  for (unsigned i = 0; i < kStreams; ++i) {
    const Stream& stream = streams_[i];
    const bool done = (stream.status & kBCIS) != 0 && (stream.control & kIOCE) != 0;
    const bool wrong = (stream.status & kDESE) != 0 && (stream.control & kDEIE) != 0;
    if (done || wrong) status |= 1u << i;
  }
  const bool responses = (rings_.rirb_status & kRINTFL) != 0 && (rings_.rirb_control & kRINTCTL) != 0;
  const bool overrun = (rings_.rirb_status & kRIRBOIS) != 0 && (rings_.rirb_control & kRIRBOIC) != 0;
  if (responses || overrun || (state_change_ & wake_enable_) != 0) status |= kCIS;
  if ((status & interrupt_control_ & (kCIE | 0xff)) != 0) status |= kGIS;
  return status;
}

void IntelHda::drive() {
  const bool level = (interrupt_status() & kGIS) != 0 && (interrupt_control_ & kGIE) != 0;
  if (msi_ && msi_->enabled()) {
    if (level && !asserted_) msi_->notify(0);
    set_intx(false);
  } else {
    set_intx(level);
  }
  asserted_ = level;
}

uint64_t IntelHda::io_read(uint64_t offset, unsigned size) {
  const unsigned shift = static_cast<unsigned>(offset & 3) * 8;
  const uint32_t value = read_dword(static_cast<unsigned>(offset & ~uint64_t{3})) >> shift;
  return size == 4 ? value : value & ((1u << size * 8) - 1);
}

void IntelHda::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const unsigned shift = static_cast<unsigned>(offset & 3) * 8;
  const uint32_t mask = (size == 4 ? 0xffffffff : (1u << size * 8) - 1) << shift;
  write_dword(static_cast<unsigned>(offset & ~uint64_t{3}), static_cast<uint32_t>(value) << shift, mask);
  drive();
}

uint32_t IntelHda::read_dword(unsigned offset) {
  if (offset >= kAliases) {
    const unsigned alias = offset - kAliases;
    const bool position = alias >= kStreams && alias % kStreamSize == kSDLPIB;
    if (alias != kWALCLK && !position) return 0;
    offset = alias;
  }
  const unsigned index = (offset - hda::kStreams) / kStreamSize;
  if (offset >= hda::kStreams && index < kStreams) {
    if (offset % kStreamSize == kSDLPIB) run_streams();
    return read_stream(streams_[index], offset % kStreamSize);
  }
  const Rings& r = rings_;
  switch (offset) {
    case kGCAP: return kCapabilities;
    case kOUTPAY: return kPayloads;
    case kGCTL: return global_control_;
    case kWAKEEN: return wake_enable_ | uint32_t{state_change_} << 16;
    case kINTCTL: return interrupt_control_;
    case kINTSTS: return interrupt_status();
    case kWALCLK: {
      const auto ns = static_cast<uint64_t>(wiring_.clock.now_ns()) - static_cast<uint64_t>(wall_since_ns_);
      return static_cast<uint32_t>(ns / kSecondNs * kWallHz + ns % kSecondNs * kWallHz / kSecondNs);
    }
    case kCORBLBASE: return r.corb_low;
    case kCORBUBASE: return r.corb_high;
    case kCORBWP: return r.corb_write | uint32_t{r.corb_read} << 16;
    case kCORBCTL: return r.corb_control | uint32_t{r.corb_status} << 8 | (0x40u | r.corb_size) << 16;
    case kRIRBLBASE: return r.rirb_low;
    case kRIRBUBASE: return r.rirb_high;
    case kRIRBWP: return r.rirb_write | uint32_t{r.rirb_count} << 16;
    case kRIRBCTL: return r.rirb_control | uint32_t{r.rirb_status} << 8 | (0x40u | r.rirb_size) << 16;
    case kICOI: return immediate_;
    case kICII: return immediate_response_;
    case kICIS: return immediate_status_;
    case kDPLBASE: return position_low_;
    case kDPUBASE: return position_high_;
    default: return 0;
  }
}

uint32_t IntelHda::read_stream(const Stream& stream, unsigned offset) const {
  switch (offset) {
    case kSDCTL: {
      const uint32_t ready = stream.running() ? uint32_t{kFIFORDY} : 0;
      return stream.control | (stream.status | ready) << 24;
    }
    case kSDLPIB: return stream.position;
    case kSDCBL: return stream.length;
    case kSDLVI: return stream.last;
    case kSDFIFOS: return kFifoBytes | uint32_t{stream.format.bits} << 16;
    case kSDBDPL: return stream.list_low;
    case kSDBDPU: return stream.list_high;
    default: return 0;
  }
}

void IntelHda::write_control(uint32_t value) {
  const bool was_running = (global_control_ & kCRST) != 0, runs = (value & kCRST) != 0;
  global_control_ = value & (kCRST | 0x100);  // bit 8: unsolicited responses, which no codec here sends
  if (was_running && !runs) link_reset();
  if (was_running || !runs) return;
  wall_since_ns_ = wiring_.clock.now_ns();
  for (unsigned i = 0; i < HdaBus::kAddresses; ++i) {
    if (bus_.at(i) != nullptr) state_change_ = static_cast<uint16_t>(state_change_ | 1u << i);
  }
}

void IntelHda::write_dword(unsigned offset, uint32_t value, uint32_t mask) {
  if (offset == kGCTL) return write_control(merged(global_control_, value, mask, 0xffffffff));
  if ((global_control_ & kCRST) == 0) {
    guest_error("intel-hda: register {:#x} is written in reset", offset);
    return;
  }
  const unsigned index = (offset - hda::kStreams) / kStreamSize;
  if (offset >= hda::kStreams && index < kStreams) {
    return write_stream(index, offset % kStreamSize, value, mask);
  }
  if (offset >= kCORBLBASE && offset <= kRIRBCTL) return write_rings(offset, value, mask);
  switch (offset) {
    case kWAKEEN:
      wake_enable_ = merged(wake_enable_, value, mask, 0x7fff);
      state_change_ = static_cast<uint16_t>(state_change_ & ~((value & mask) >> 16));
      break;
    case kINTCTL: interrupt_control_ = merged(interrupt_control_, value, mask, kGIE | kCIE | 0xff); break;
    case kICOI: immediate_ = merged(immediate_, value, mask, 0xffffffff); break;
    case kICIS:
      if ((value & mask & kIRV) != 0) immediate_status_ = static_cast<uint16_t>(immediate_status_ & ~kIRV);
      if ((value & mask & kICB) != 0) {
        immediate_response_ = send_verb(immediate_);
        immediate_status_ = kIRV;
      }
      break;
    case kDPLBASE: position_low_ = merged(position_low_, value, mask, 0xffffff81); break;
    case kDPUBASE: position_high_ = merged(position_high_, value, mask, 0xffffffff); break;
    default: break;  // read-only, or not there
  }
}

void IntelHda::write_rings(unsigned offset, uint32_t value, uint32_t mask) {
  Rings& r = rings_;
  const uint32_t bits = value & mask;
  switch (offset) {
    case kCORBLBASE: r.corb_low = merged(r.corb_low, value, mask, 0xffffff80); break;
    case kCORBUBASE: r.corb_high = merged(r.corb_high, value, mask, 0xffffffff); break;
    case kCORBWP:
      r.corb_write = merged(r.corb_write, value, mask, 0xff);
      // The reset bit is seen by software and cleared by it.
      if ((mask >> 16 & kCORBRPRST) != 0) {
        r.corb_read =
            (bits >> 16 & kCORBRPRST) != 0 ? kCORBRPRST : static_cast<uint16_t>(r.corb_read & ~kCORBRPRST);
      }
      break;
    case kCORBCTL:
      r.corb_control = merged(r.corb_control, value, mask, 3);
      r.corb_status = static_cast<uint8_t>(r.corb_status & ~(bits >> 8));
      r.corb_size = static_cast<uint8_t>(merged(uint32_t{r.corb_size} << 16, value, mask, 0x30000) >> 16);
      break;
    case kRIRBLBASE: r.rirb_low = merged(r.rirb_low, value, mask, 0xffffff80); break;
    case kRIRBUBASE: r.rirb_high = merged(r.rirb_high, value, mask, 0xffffffff); break;
    case kRIRBWP:
      if ((bits & kRIRBWPRST) != 0) r.rirb_write = 0;
      r.rirb_count = static_cast<uint16_t>(merged(uint32_t{r.rirb_count} << 16, value, mask, 0xff0000) >> 16);
      break;
    case kRIRBCTL:
      r.rirb_control = merged(r.rirb_control, value, mask, 7);
      if ((bits >> 8 & kRINTFL) != 0) r.responses = 0;
      r.rirb_status = static_cast<uint8_t>(r.rirb_status & ~(bits >> 8));
      r.rirb_size = static_cast<uint8_t>(merged(uint32_t{r.rirb_size} << 16, value, mask, 0x30000) >> 16);
      break;
    default: break;
  }
  run_corb();
}

uint32_t IntelHda::send_verb(uint32_t verb) {
  HdaCodec* codec = bus_.at(verb >> 28);
  if (codec == nullptr) {
    guest_error("intel-hda: verb {:#x} for a codec that is not there", verb);
    return 0;
  }
  return codec->command(verb >> 20 & 0x7f, verb & 0xfffff);
}

// 4.4.1: commands, until software has to clear the response interrupt.
void IntelHda::run_corb() {
  constexpr uint16_t kEntries[] = {2, 16, 256, 256};
  Rings& r = rings_;
  while ((r.corb_control & kCORBRUN) != 0 && (r.corb_read & 0xff) != r.corb_write) {
    if (r.rirb_count != 0 && r.responses == r.rirb_count) return;
    const uint16_t entries = kEntries[r.corb_size & 3];
    const auto next = static_cast<uint16_t>(((r.corb_read & 0xff) + 1u) % entries);
    r.corb_read = next;
    uint8_t bytes[4] = {};
    const uint64_t base = uint64_t{r.corb_high} << 32 | r.corb_low;
    if (!dma_read(base + 4u * next, bytes)) {
      r.corb_status |= 1;  // CMEI
      return;
    }
    const uint32_t verb = load_le<uint32_t>(bytes);
    respond(send_verb(verb), verb >> 28);
    if (r.corb_write >= entries) return;  // never reached: the guest's mistake
  }
}

void IntelHda::respond(uint32_t response, uint32_t extended) {
  constexpr uint16_t kEntries[] = {2, 16, 256, 256};
  Rings& r = rings_;
  if ((r.rirb_control & kRIRBDMAEN) == 0) return;
  r.rirb_write = static_cast<uint16_t>((r.rirb_write + 1u) % kEntries[r.rirb_size & 3]);
  uint8_t bytes[8];
  store_le<uint32_t>(bytes, response);
  store_le<uint32_t>(bytes + 4, extended);
  const uint64_t base = uint64_t{r.rirb_high} << 32 | r.rirb_low;
  static_cast<void>(dma_write(base + 8u * r.rirb_write, bytes));
  ++r.responses;
  const bool drained = (r.corb_read & 0xff) == r.corb_write;
  if (drained || r.responses == r.rirb_count) r.rirb_status |= kRINTFL;
}

}  // namespace rhea::devices
