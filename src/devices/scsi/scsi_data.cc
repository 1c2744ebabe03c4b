// Moving data between the transport and the drive. What is fetched or given stands in a queue; the drive
// works on one piece at a time, of which the Done owns a copy.
#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "devices/scsi/scsi_disk.h"

namespace rhea::devices::scsi {
namespace {

constexpr size_t kPiece = 64 << 10;
constexpr size_t kLargestQueue = kPiece + ScsiDisk::kLargestStep;

}  // namespace

ScsiDisk::~ScsiDisk() {
  if (connected_) drive()->detach();
}

Result<> ScsiDisk::connect(const std::string& device_id) {
  if (drive() == nullptr) return {};
  TRY(drive()->attach(
      *this, {.removable = wiring_.removable || cd_, .has_tray = cd_.has_value(), .device_id = device_id}));
  connected_ = true;
  return {};
}

void ScsiDisk::media_changed() {
  stopped_ = false;
  if (cd_)
    cd_->media_changed();
  else
    attention_ = kMediumChanged;
}

void ScsiDisk::eject_requested(bool) {
  if (cd_) cd_->eject_requested();
}

// Done of a command that was given up since does nothing.
block::Drive::Done ScsiDisk::done(std::shared_ptr<std::vector<uint8_t>> keep,
                                  std::function<void(Result<>)> then) {
  return [this, keep = std::move(keep), then = std::move(then), generation = generation_](Result<> result) {
    if (generation == generation_) then(std::move(result));
  };
}

void ScsiDisk::drive_failed(const Error& error, bool writing) {
  Sense sense = writing ? kMediumWriteError : kMediumReadError;
  if (error.kind() == ErrorKind::NoSpace) sense = kSpaceExhausted;
  if (error.kind() == ErrorKind::NotFound) sense = kNotReadyNoMedium;
  if (error.kind() == ErrorKind::Permission) sense = kWriteProtected;
  if (error.kind() == ErrorKind::OutOfRange) sense = kLbaOutOfRange;
  if (cd_) cd_->read_failed();
  fail(sense);
  progressed();
}

bool ScsiDisk::take(std::span<uint8_t> into, size_t& got) {
  got = 0;
  if (direction_ != Direction::ToHost || phase_ != Phase::Data) return true;
  const bool complete = left_ == 0;
  if (queue_.size() < into.size() && !complete) {
    wanted_ = std::min(into.size(), kLargestStep);
    fetch();
    return false;
  }
  got = std::min(into.size(), queue_.size());
  std::copy_n(queue_.begin(), got, into.begin());
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(got));
  moved_ += got;
  wanted_ = 0;
  if (queue_.empty() && complete) {
    finish();
  } else {
    fetch();
  }
  return true;
}

// Reads the next piece, if there is room for it.
void ScsiDisk::fetch() {
  if (left_ == 0 || busy_ != 0 || queue_.size() >= std::max(kPiece, wanted_)) return;
  busy_ = static_cast<size_t>(std::min<uint64_t>(left_, kPiece));
  auto piece = std::make_shared<std::vector<uint8_t>>(busy_);
  drive()->read(at_, *piece, done(piece, [this, piece](Result<> result) {
                  busy_ = 0;
                  if (!result) return drive_failed(result.error(), false);
                  queue_.insert(queue_.end(), piece->begin(), piece->end());
                  at_ += piece->size();
                  left_ -= piece->size();
                  fetch();
                  progressed();
                }));
}

bool ScsiDisk::give(std::span<const uint8_t> from) {
  if (direction_ != Direction::FromHost || phase_ != Phase::Data) return true;
  if (queue_.size() >= kPiece) return false;
  const uint64_t wanted = total_ - moved_;
  from = from.first(static_cast<size_t>(std::min<uint64_t>(from.size(), wanted)));
  queue_.insert(queue_.end(), from.begin(), from.end());
  moved_ += from.size();
  if (moved_ == total_) ended_ = true;
  if (use_ == Use::Medium) {
    store();
  } else if (ended_) {
    use_parameters();
  }
  return true;
}

// Writes the next piece: as soon as there is one, or the rest. Parts of blocks that nothing follows are
// dropped.
void ScsiDisk::store() {
  if (busy_ != 0) return;
  if (queue_.size() < kPiece && !ended_) return;
  busy_ = std::min(queue_.size(), kPiece) / 512 * 512;
  if (busy_ == 0) {
    queue_.clear();
    if (force_) return flush();
    finish();
    return;
  }
  auto piece = std::make_shared<std::vector<uint8_t>>(queue_.begin(),
                                                      queue_.begin() + static_cast<std::ptrdiff_t>(busy_));
  drive()->write(at_, *piece, done(piece, [this](Result<> result) {
                   const size_t stored = busy_;
                   busy_ = 0;
                   if (!result) return drive_failed(result.error(), true);
                   queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(stored));
                   at_ += stored;
                   left_ -= stored;
                   store();
                   progressed();
                 }));
}

void ScsiDisk::end_data() {
  if (phase_ != Phase::Data) return;
  if (direction_ == Direction::ToHost) {
    ++generation_;
    queue_.clear();
    left_ = 0;
    busy_ = 0;
    return finish();
  }
  if (ended_) return;
  ended_ = true;
  if (use_ == Use::Medium) return store();
  fail(kInvalidParameter);
}

void ScsiDisk::flush() {
  phase_ = Phase::Flushing;
  if (drive() == nullptr) return finish();
  drive()->flush(done(nullptr, [this](Result<> result) {
    if (!result) return drive_failed(result.error(), true);
    finish();
    progressed();
  }));
}

void ScsiDisk::zero_next() {
  phase_ = Phase::Zeroing;
  const bool may_unmap = (command_[1] & 8) != 0;
  drive()->write_zeroes(at_, left_, may_unmap, done(nullptr, [this](Result<> result) {
                          if (!result) return drive_failed(result.error(), true);
                          finish();
                          progressed();
                        }));
}

// The queue holds the ranges that are left.
void ScsiDisk::unmap_next() {
  phase_ = Phase::Zeroing;
  use_ = Use::Unmap;
  if (queue_.size() < 16) {
    queue_.clear();
    return finish();
  }
  const uint64_t block = load_be<uint64_t>(queue_.data());
  const uint64_t count = load_be<uint32_t>(&queue_[8]);
  drive()->discard(block * 512, count * 512, done(nullptr, [this](Result<> result) {
                     if (!result) return drive_failed(result.error(), true);
                     queue_.erase(queue_.begin(), queue_.begin() + 16);
                     unmap_next();
                     if (finished()) progressed();
                   }));
}

// As after power-on, but for what happened to the medium.
void ScsiDisk::reset() {
  ++generation_;
  command_ = {};
  phase_ = Phase::Finished;
  direction_ = Direction::None;
  use_ = Use::Medium;
  total_ = moved_ = at_ = left_ = 0;
  queue_.clear();
  busy_ = wanted_ = 0;
  ended_ = force_ = false;
  sense_ = {};
}

void ScsiDisk::state(bus::StateVisitor& v) {
  v.bytes("command", command_);
  v.field("phase", phase_);
  v.field("direction", direction_);
  v.field("use", use_);
  v.field("total", total_);
  v.field("moved", moved_);
  v.field("at", at_);
  v.field("left", left_);
  v.field("ended", ended_);
  v.field("force", force_);
  v.field("stopped", stopped_);
  for (Sense* sense : {&sense_, &attention_, &told_}) {
    v.field("key", sense->key);
    v.field("code", sense->code);
    v.field("qualifier", sense->qualifier);
  }
  if (cd_) cd_->state(v);
  std::vector<uint8_t> queue(kLargestQueue);
  auto size = static_cast<uint32_t>(queue_.size());
  size = std::min(size, static_cast<uint32_t>(queue_.size()));
  std::copy_n(queue_.begin(), size, queue.begin());
  v.bytes("queue", queue);
  v.field("size", size);
  if (!v.loading()) return;
  ++generation_;
  queue_.assign(queue.begin(), queue.begin() + std::min<std::ptrdiff_t>(size, std::ssize(queue)));
  busy_ = 0;
  const uint64_t bytes = drive() == nullptr ? 0 : drive()->size();
  const bool sound = phase_ <= Phase::Zeroing && direction_ <= Direction::FromHost &&
                     use_ <= Use::WriteSame && at_ <= bytes && left_ <= bytes - at_ && moved_ <= total_ &&
                     total_ <= UINT64_MAX / 2 &&
                     (phase_ == Phase::Finished || drive() != nullptr || direction_ == Direction::ToHost);
  if (!sound) {
    reset();
  } else if (phase_ == Phase::Flushing) {
    flush();
  } else if (phase_ == Phase::Zeroing) {
    use_ == Use::Unmap ? unmap_next() : zero_next();
  } else if (phase_ == Phase::Data && direction_ == Direction::ToHost) {
    fetch();
  } else if (phase_ == Phase::Data && use_ == Use::Medium && direction_ == Direction::FromHost) {
    store();
  }
}

}  // namespace rhea::devices::scsi
