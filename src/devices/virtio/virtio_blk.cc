#include "devices/virtio/virtio_blk.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/failf.h"
#include "base/log.h"
#include "base/trace.h"

namespace rhea::devices::virtio {

namespace {

constexpr uint64_t kSector = 512;
// 5.2.3.
constexpr uint64_t kSegMax = feature(2), kGeometry = feature(4), kReadOnly = feature(5),
                   kBlkSize = feature(6), kFlush = feature(9), kTopology = feature(10),
                   kConfigWce = feature(11), kMultiQueue = feature(12), kDiscard = feature(13),
                   kWriteZeroes = feature(14);
// 5.2.4: offsets in the configuration.
constexpr unsigned kCapacityAt = 0, kSegMaxAt = 12, kCylindersAt = 16, kHeadsAt = 18, kSectorsAt = 19,
                   kBlkSizeAt = 20, kPhysicalExpAt = 24, kMinIoAt = 26, kOptIoAt = 28, kWritebackAt = 32,
                   kQueuesAt = 34, kMaxDiscardAt = 36, kMaxDiscardSegAt = 40, kDiscardAlignAt = 44,
                   kMaxZeroesAt = 48, kMaxZeroesSegAt = 52, kZeroesUnmapAt = 56, kConfigBytes = 60;
// 5.2.6.
constexpr uint32_t kIn = 0, kOut = 1, kFlushOp = 4, kGetId = 8, kDiscardOp = 11, kWriteZeroesOp = 13;
constexpr uint8_t kOk = 0, kIoError = 1, kUnsupported = 2;
constexpr uint64_t kHeader = 16, kRange = 16, kIdBytes = 20;
constexpr uint32_t kUnmapFlag = 1;

constexpr uint64_t kPiece = uint64_t{1} << 20;
constexpr uint64_t kMaxBuffered = uint64_t{64} << 20;
constexpr size_t kMostSpare = 8;
// Bytes of the page cache that are copied with the machine held up, for each kick: some hundred microseconds.
constexpr uint64_t kMostAtOnce = uint64_t{2} << 20;

inline trace::Event<uint32_t, uint64_t, uint64_t> trace_request{"virtio_blk_request",
                                                                "type {} sector {} bytes {}"};

}  // namespace

struct VirtioBlk::Request {
  Chain chain{};
  unsigned queue = 0;
  uint32_t op = 0;
  uint64_t offset = 0;  // on the disk, of the next piece
  uint64_t done = 0;    // bytes of data that went over
  uint64_t length = 0;  // of the data
  std::unique_ptr<uint8_t[]> buffer{};
  uint64_t capacity = 0;

  // Without header and status.
  uint64_t out_data() const { return chain.out_bytes - kHeader; }
  uint64_t in_data() const { return chain.in_bytes - 1; }
};

Result<std::unique_ptr<VirtioBlk>> VirtioBlk::create(block::Drive& drive, const Options& options,
                                                     const RingOptions& ring) {
  if (!drive.inserted()) return fail(ErrorKind::Invalid, "Device needs media, but drive is empty");
  if (options.physical_block < options.logical_block)
    return failf(ErrorKind::Invalid, "logical_block_size {} is larger than physical_block_size {}",
                 options.logical_block, options.physical_block);
  if (options.min_io % options.logical_block != 0)
    return failf(ErrorKind::Invalid, "min_io_size {} is not a multiple of logical_block_size {}",
                 options.min_io, options.logical_block);
  if (options.opt_io % options.logical_block != 0)
    return failf(ErrorKind::Invalid, "opt_io_size {} is not a multiple of logical_block_size {}",
                 options.opt_io, options.logical_block);
  std::unique_ptr<VirtioBlk> made(new VirtioBlk(drive, options, ring));
  TRY(drive.attach(*made, {}));
  return made;
}

VirtioBlk::VirtioBlk(block::Drive& drive, const Options& options, const RingOptions& ring)
    : VirtioDevice(
          {.id = kIdBlock, .name = "virtio-blk", .class_code = 0x010000, .config_bytes = kConfigBytes}, ring),
      drive_(drive),
      options_(options),
      initial_write_cache_(drive.write_cache()) {
  for (unsigned i = 0; i < options_.queues; ++i) add_queue(options_.queue_size);
}

VirtioBlk::~VirtioBlk() {
  if (drive_.attached()) drive_.detach();
}

uint64_t VirtioBlk::device_features() const {
  uint64_t bits = kSegMax | kGeometry | kBlkSize | kFlush | kTopology;
  if (drive_.read_only()) bits |= kReadOnly;
  if (options_.config_wce) bits |= kConfigWce;
  if (options_.queues > 1) bits |= kMultiQueue;
  if (options_.discard) bits |= kDiscard;
  if (options_.write_zeroes) bits |= kWriteZeroes;
  return bits;
}

block::Geometry VirtioBlk::geometry() const {
  if (options_.geometry.cylinders != 0) return options_.geometry;
  const uint64_t cylinders = drive_.size() / kSector / (16 * 63);
  return {.cylinders = static_cast<uint32_t>(std::clamp<uint64_t>(cylinders, 2, 16383)),
          .heads = 16,
          .sectors = 63};
}

void VirtioBlk::fill_config(std::span<uint8_t> config) const {
  uint8_t* at = config.data();
  const block::Geometry shape = geometry();
  store_le<uint64_t>(at + kCapacityAt, drive_.size() / kSector);
  store_le<uint32_t>(at + kSegMaxAt, std::max<uint32_t>(options_.queue_size, 3) - 2);
  store_le<uint16_t>(at + kCylindersAt, static_cast<uint16_t>(shape.cylinders));
  at[kHeadsAt] = static_cast<uint8_t>(shape.heads);
  at[kSectorsAt] = static_cast<uint8_t>(shape.sectors);
  store_le<uint32_t>(at + kBlkSizeAt, options_.logical_block);
  at[kPhysicalExpAt] = static_cast<uint8_t>(std::countr_zero(options_.physical_block) -
                                            std::countr_zero(options_.logical_block));
  store_le<uint16_t>(at + kMinIoAt, static_cast<uint16_t>(options_.min_io / options_.logical_block));
  store_le<uint32_t>(at + kOptIoAt, options_.opt_io / options_.logical_block);
  at[kWritebackAt] = drive_.write_cache() ? 1 : 0;
  store_le<uint16_t>(at + kQueuesAt, static_cast<uint16_t>(options_.queues));
  const uint32_t granularity = std::max(options_.discard_granularity, options_.logical_block);
  store_le<uint32_t>(at + kMaxDiscardAt, options_.max_discard_sectors);
  store_le<uint32_t>(at + kMaxDiscardSegAt, 1);
  store_le<uint32_t>(at + kDiscardAlignAt, granularity / static_cast<uint32_t>(kSector));
  store_le<uint32_t>(at + kMaxZeroesAt, options_.max_write_zeroes_sectors);
  store_le<uint32_t>(at + kMaxZeroesSegAt, 1);
  at[kZeroesUnmapAt] = 1;
}

void VirtioBlk::config_written(unsigned offset, std::span<const uint8_t> bytes) {
  if (!options_.config_wce || offset > kWritebackAt || offset + bytes.size() <= kWritebackAt) return;
  drive_.set_write_cache((bytes[kWritebackAt - offset] & 1) != 0);
}

// 5.2.5.2: a driver that cannot flush gets a disk whose writes are done when they are safe.
void VirtioBlk::driver_ready() {
  if (!negotiated(kConfigWce)) drive_.set_write_cache(initial_write_cache_ && negotiated(kFlush));
}

void VirtioBlk::device_reset() {
  drive_.cancel_all();
  drive_.set_write_cache(initial_write_cache_);
  buffered_ = 0;
  starved_ = false;
}

void VirtioBlk::device_state(bus::StateVisitor& v) {
  bool write_cache = drive_.write_cache();
  v.field("write_cache", write_cache);
  if (!v.loading()) return;
  drive_.cancel_all();
  buffered_ = 0;
  starved_ = false;
  drive_.set_write_cache(write_cache);
}

void VirtioBlk::queue_kicked(unsigned index) {
  serve(index);
}

void VirtioBlk::serve(unsigned index) {
  Virtqueue& ring = queue(index);
  serving_ = true;
  at_once_ = kMostAtOnce;
  do {
    ring.disable_kicks();
    while (buffered_ < kMaxBuffered) {
      std::optional<Chain> chain = ring.pop();
      if (!chain) break;
      start(index, std::move(*chain));
    }
    ring.flush();
  } while (buffered_ < kMaxBuffered && ring.enable_kicks());
  serving_ = false;
  if (buffered_ >= kMaxBuffered) starved_ = true;
}

void VirtioBlk::start(unsigned index, Chain chain) {
  if (chain.out_bytes < kHeader || chain.in_bytes < 1) {
    break_down("virtio-blk missing headers");
    return;
  }
  uint8_t header[kHeader];
  if (!copy_from(ram(), chain.out, 0, header)) {
    break_down("a request's header is not in RAM");
    return;
  }
  const auto request = std::make_shared<Request>();
  request->chain = std::move(chain);
  request->queue = index;
  request->op = load_le<uint32_t>(header);
  const uint64_t sector = load_le<uint64_t>(header + 8);
  trace_request(request->op, sector, request->chain.out_bytes + request->chain.in_bytes - kHeader - 1);
  switch (request->op) {
    case kIn:
    case kOut: start_transfer(request, sector); break;
    case kFlushOp: drive_.flush(ends(request)); break;
    case kGetId: get_id(request); break;
    case kDiscardOp:
    case kWriteZeroesOp: start_range(request); break;
    default: finish(request, kUnsupported); break;
  }
}

bool VirtioBlk::in_disk(uint64_t sector, uint64_t bytes) const {
  const auto offset = checked_mul(sector, kSector);
  const uint64_t mask = options_.logical_block - 1;
  return offset && ((*offset | bytes) & mask) == 0 && range_within(*offset, bytes, drive_.size());
}

void VirtioBlk::start_transfer(const RequestPtr& request, uint64_t sector) {
  request->length = request->op == kOut ? request->out_data() : request->in_data();
  if (!in_disk(sector, request->length)) {
    drive_.count_invalid(request->op == kOut ? block::DriveOp::Write : block::DriveOp::Read);
    finish(request, kIoError);
    return;
  }
  request->offset = sector * kSector;
  if (request->op == kIn && read_at_once(*request)) {
    finish(request, kOk);
    return;
  }
  request->capacity = std::min(request->length, kPiece);
  request->buffer = buffer_of(request->capacity);
  buffered_ += request->capacity;
  next_piece(request);
}

// From the host's page cache into the guest's memory.
bool VirtioBlk::read_at_once(const Request& request) {
  if (request.length > at_once_) return false;
  std::vector<iovec> places;
  places.reserve(request.chain.in.size());
  uint64_t left = request.length;
  for (const Segment& segment : request.chain.in) {
    const uint64_t n = std::min<uint64_t>(segment.length, left);
    if (n != 0 && !ram().find_writable(segment.address, n, places)) return false;
    left -= n;
  }
  if (!drive_.read_at_once(request.offset, places)) return false;
  at_once_ -= request.length;
  left = request.length;
  for (const Segment& segment : request.chain.in) {
    const uint64_t n = std::min<uint64_t>(segment.length, left);
    ram().written(segment.address, n);
    left -= n;
  }
  return true;
}

// The large ones are kept: fresh memory costs more than what is done with it.
std::unique_ptr<uint8_t[]> VirtioBlk::buffer_of(uint64_t bytes) {
  if (bytes < kPiece || spare_.empty()) return std::make_unique_for_overwrite<uint8_t[]>(bytes);
  std::unique_ptr<uint8_t[]> buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

void VirtioBlk::next_piece(const RequestPtr& request) {
  const uint64_t n = std::min(request->length - request->done, request->capacity);
  const std::span<uint8_t> piece(request->buffer.get(), n);
  block::Drive::Done done = [this, request, n](const Result<>& result) {
    piece_done(request, n, result.has_value());
  };
  if (request->op == kIn) {
    drive_.read(request->offset, piece, std::move(done));
    return;
  }
  if (copy_from(ram(), request->chain.out, kHeader + request->done, piece) != n) {
    finish(request, kIoError);
    return;
  }
  drive_.write(request->offset, piece, std::move(done));
}

void VirtioBlk::piece_done(const RequestPtr& request, uint64_t bytes, bool ok) {
  if (ok && request->op == kIn)
    ok = copy_to(ram(), request->chain.in, request->done, {request->buffer.get(), bytes}) == bytes;
  request->done += bytes;
  request->offset += bytes;
  if (ok && request->done < request->length)
    next_piece(request);
  else
    finish(request, ok ? kOk : kIoError);
}

block::Drive::Done VirtioBlk::ends(const RequestPtr& request) {
  return [this, request](const Result<>& result) { finish(request, result ? kOk : kIoError); };
}

// 5.2.6.2: one segment of sectors, as max_discard_seg says.
void VirtioBlk::start_range(const RequestPtr& request) {
  uint8_t range[kRange];
  const bool zeroes = request->op == kWriteZeroesOp;
  const bool offered = zeroes ? options_.write_zeroes : options_.discard;
  if (!offered || request->out_data() > kRange) {
    finish(request, kUnsupported);
    return;
  }
  if (copy_from(ram(), request->chain.out, kHeader, range) != kRange) {
    finish(request, kIoError);
    return;
  }
  const uint64_t sector = load_le<uint64_t>(range);
  const uint32_t sectors = load_le<uint32_t>(range + 8);
  const uint32_t flags = load_le<uint32_t>(range + 12);
  if ((flags & ~kUnmapFlag) != 0 || (!zeroes && flags != 0)) {
    finish(request, kUnsupported);
    return;
  }
  const uint64_t bytes = uint64_t{sectors} * kSector;
  const uint32_t limit = zeroes ? options_.max_write_zeroes_sectors : options_.max_discard_sectors;
  if (sectors > limit || !in_disk(sector, bytes)) {
    finish(request, kIoError);
    return;
  }
  if (zeroes)
    drive_.write_zeroes(sector * kSector, bytes, (flags & kUnmapFlag) != 0, ends(request));
  else
    drive_.discard(sector * kSector, bytes, ends(request));
}

void VirtioBlk::get_id(const RequestPtr& request) {
  const std::string& serial = options_.serial.empty() ? drive_.serial() : options_.serial;
  uint8_t id[kIdBytes] = {};
  std::copy_n(serial.begin(), std::min<size_t>(serial.size(), kIdBytes), id);
  const std::span<const uint8_t> answer(id, std::min(request->in_data(), kIdBytes));
  const bool ok = copy_to(ram(), request->chain.in, 0, answer).has_value();
  finish(request, ok ? kOk : kIoError);
}

void VirtioBlk::finish(const RequestPtr& request, uint8_t status) {
  buffered_ -= request->capacity;
  if (request->capacity == kPiece && spare_.size() < kMostSpare) spare_.push_back(std::move(request->buffer));
  request->capacity = 0;
  const Chain& chain = request->chain;
  Virtqueue& ring = queue(request->queue);
  if (!copy_to(ram(), chain.in, chain.in_bytes - 1, {&status, 1})) {
    break_down("a request's status is not in RAM");
    return;
  }
  ring.fill(chain, static_cast<uint32_t>(std::min<uint64_t>(chain.in_bytes, UINT32_MAX)));
  if (serving_) return;
  ring.flush();
  if (!starved_ || buffered_ >= kMaxBuffered) return;
  starved_ = false;
  for (unsigned i = 0; i < queue_count(); ++i) serve(i);
}

}  // namespace rhea::devices::virtio
