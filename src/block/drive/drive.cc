// See drive.h.
#include "block/drive/drive.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/checked.h"
#include "base/failf.h"
#include "base/log.h"
#include "base/trace.h"
#include "block/drive/commit.h"
#include "block/drive/drives.h"

namespace rhea::block {
namespace {

constexpr uint64_t kSector = 512;
// Copying this much is quicker than waking two threads, or holds up the vCPU and the machine for not much
// longer than the copy into the guest does anyway.
constexpr uint64_t kMostAtOnce = 1 << 20;

inline trace::Event<const std::string&, unsigned, uint64_t, uint64_t> trace_drive_submit{
    "drive_submit", "{} op {} offset {:#x} length {:#x}"};
inline trace::Event<const std::string&, unsigned, uint64_t, bool> trace_drive_done{
    "drive_done", "{} op {} offset {:#x} ok {}"};

int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool is_read(DriveOp op) {
  return op == DriveOp::Read;
}

bool is_throttled(DriveOp op) {
  return op == DriveOp::Read || op == DriveOp::Write || op == DriveOp::WriteZeroes;
}

}  // namespace

struct Drive::Request {
  DriveOp op = DriveOp::Read;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::span<uint8_t> into{};
  std::span<const uint8_t> from{};
  bool may_unmap = false;
  Done done{};
  int64_t submitted_ns = 0;
  bool cancelled = false;
  // For the worker, set by start().
  std::shared_ptr<ImageNode> image{};
  bool flush_after = false;
  DetectZeroes detect_zeroes = DetectZeroes::Off;
  bool unmap_allowed = false;
  Result<> result{};

  bool read_at_once() const {
    const iovec piece{into.data(), into.size()};
    return op == DriveOp::Read && length <= kMostAtOnce && image->read_at_once(offset, {&piece, 1});
  }
  ZeroMode zero_mode(bool wanted) const {
    return wanted && unmap_allowed ? ZeroMode::MayUnmap : ZeroMode::KeepAllocated;
  }
  Result<> execute() const {
    switch (op) {
      case DriveOp::Read: return image->read(offset, into);
      case DriveOp::Flush: return image->flush();
      case DriveOp::Discard: return image->discard(offset, length);
      case DriveOp::WriteZeroes: TRY(image->write_zeroes(offset, length, zero_mode(may_unmap))); break;
      case DriveOp::Write:
        if (detect_zeroes != DetectZeroes::Off && is_zero(from)) {
          TRY(image->write_zeroes(offset, length, zero_mode(detect_zeroes == DetectZeroes::Unmap)));
        } else {
          TRY(image->write(offset, from));
        }
        break;
    }
    return flush_after ? image->flush() : Result<>{};
  }
};

Drive::Drive(Drives& drives, DriveConfig config, Medium medium)
    : drives_(drives), config_(std::move(config)) {
  throttle_timer_ = drives_.wiring_.clock.make_timer([this] { admit(); });
  insert(std::move(medium));
}

Drive::~Drive() = default;

void Drive::set_error_policies(ErrorPolicy on_read, ErrorPolicy on_write) {
  config_.on_read_error = on_read;
  config_.on_write_error = on_write;
}

Result<> Drive::attach(DriveFrontend& frontend, const Attachment& attachment) {
  if (frontend_ != nullptr)
    return failf(ErrorKind::Busy, "Drive '{}' is already in use by another block device", id());
  frontend_ = &frontend;
  attachment_ = attachment;
  return {};
}

void Drive::detach() {
  cancel_all();
  frontend_ = nullptr;
  attachment_ = {};
  locked_ = tray_open_ = false;
}

// -- requests -----------------------------------------------------------------------------------------------

void Drive::read(uint64_t offset, std::span<uint8_t> into, Done done) {
  submit(std::make_shared<Request>(Request{
      .op = DriveOp::Read, .offset = offset, .length = into.size(), .into = into, .done = std::move(done)}));
}

bool Drive::read_at_once(uint64_t offset, std::span<const iovec> into) {
  const bool others_first = config_.throttle || !waiting_.empty() || cancelled_running_ != 0 || quiet_;
  const uint64_t length = bytes_of(into);
  if (others_first || !inserted() || !check_range(offset, length, size_)) return false;
  const int64_t begin = monotonic_ns();
  if (!medium_.image->read_at_once(offset, into)) return false;
  stats_.last_access_ns = monotonic_ns();
  stats_.read.operations++;
  stats_.read.bytes += length;
  stats_.read.time_ns += static_cast<uint64_t>(stats_.last_access_ns - begin);
  return true;
}

void Drive::write(uint64_t offset, std::span<const uint8_t> from, Done done) {
  submit(std::make_shared<Request>(Request{
      .op = DriveOp::Write, .offset = offset, .length = from.size(), .from = from, .done = std::move(done)}));
}

void Drive::flush(Done done) {
  submit(std::make_shared<Request>(Request{.op = DriveOp::Flush, .done = std::move(done)}));
}

void Drive::discard(uint64_t offset, uint64_t length, Done done) {
  submit(std::make_shared<Request>(
      Request{.op = DriveOp::Discard, .offset = offset, .length = length, .done = std::move(done)}));
}

void Drive::write_zeroes(uint64_t offset, uint64_t length, bool may_unmap, Done done) {
  submit(std::make_shared<Request>(Request{.op = DriveOp::WriteZeroes,
                                           .offset = offset,
                                           .length = length,
                                           .may_unmap = may_unmap,
                                           .done = std::move(done)}));
}

void Drive::submit(RequestPtr request) {
  trace_drive_submit(id(), static_cast<unsigned>(request->op), request->offset, request->length);
  request->submitted_ns = monotonic_ns();
  waiting_.push_back(std::move(request));
  admit();
}

// Starts what may start. Reads and writes each keep their order while a throttle holds them back.
void Drive::admit() {
  if (waiting_.empty() || cancelled_running_ != 0 || quiet_) return;
  if (!config_.throttle) {
    while (!waiting_.empty()) {
      const RequestPtr request = std::move(waiting_.front());
      waiting_.pop_front();
      start(request);
    }
    return;
  }
  const int64_t now = drives_.wiring_.clock.now_ns();
  std::optional<int64_t> soonest;
  bool held[2] = {false, false};
  std::deque<RequestPtr> still_waiting;
  for (const RequestPtr& request : std::exchange(waiting_, {})) {
    const bool writes = !is_read(request->op);
    int64_t wait = 0;
    if (is_throttled(request->op)) {
      if (!held[writes]) wait = config_.throttle->wait_ns(writes, now);
      if (wait > 0) soonest = std::min(soonest.value_or(INT64_MAX), wait);
      held[writes] = held[writes] || wait > 0;
      if (held[writes]) {
        still_waiting.push_back(request);
        continue;
      }
      config_.throttle->account(writes, request->length);
    }
    start(request);
  }
  waiting_ = std::move(still_waiting);
  if (soonest) throttle_timer_->arm(now + *soonest);
}

Result<> Drive::check(const Request& request) const {
  if (!inserted()) return fail(ErrorKind::NotFound, "No medium found");
  if (request.op != DriveOp::Read && request.op != DriveOp::Flush && medium_.read_only)
    return fail(ErrorKind::Permission, "Operation not permitted");
  return check_range(request.offset, request.length, size_);
}

void Drive::start(const RequestPtr& request) {
  running_.push_back(request);
  in_flight_++;
  request->result = check(*request);
  std::function<void()> work;
  const bool nothing_to_do = (request->op == DriveOp::Discard && !config_.discard) ||
                             (request->op == DriveOp::Flush && medium_.read_only);
  if (!request->result) {
    counters(request->op).invalid++;
  } else if (!nothing_to_do) {
    request->image = medium_.image;
    request->flush_after = !config_.write_cache;
    request->detect_zeroes = config_.detect_zeroes;
    request->unmap_allowed = config_.discard;
    // The list owns the request until completed(); the worker holds nothing that may die on its thread.
    if (!request->read_at_once()) work = [raw = request.get()] { raw->result = raw->execute(); };
  }
  const bool host_may_fail = static_cast<bool>(work);
  drives_.run(std::move(work), [this, raw = request.get(), host_may_fail] {
    const auto at = std::ranges::find(running_, raw, &RequestPtr::get);
    CHECK(at != running_.end());
    const RequestPtr ended = *at;
    running_.erase(at);
    completed(ended, host_may_fail);
  });
}

void Drive::completed(const RequestPtr& request, bool host_may_fail) {
  in_flight_--;
  request->image.reset();
  trace_drive_done(id(), static_cast<unsigned>(request->op), request->offset, request->result.has_value());
  if (request->cancelled) {
    cancelled_running_--;
    request->done = nullptr;
    admit();
  } else if (request->result || !host_may_fail) {
    finish(request, std::move(request->result));
  } else {
    failed(request);
  }
  close_retired();
  if (in_flight_ == 0) tell_idle();
}

// The host could not do it: what the error policy says.
void Drive::failed(const RequestPtr& request) {
  const Error error = std::move(request->result).error();
  const ErrorPolicy policy = is_read(request->op) ? config_.on_read_error : config_.on_write_error;
  ErrorAction action = ErrorAction::Report;
  if (policy == ErrorPolicy::Ignore) action = ErrorAction::Ignore;
  if (policy == ErrorPolicy::Stop || (policy == ErrorPolicy::Enospc && error.kind() == ErrorKind::NoSpace))
    action = ErrorAction::Stop;
  if (drives_.wiring_.host == nullptr && action == ErrorAction::Stop) action = ErrorAction::Report;
  if (action == ErrorAction::Stop) {
    io_status_ = error.kind() == ErrorKind::NoSpace ? IoStatus::NoSpace : IoStatus::Failed;
    stalled_.push_back(request);
  }
  if (drives_.wiring_.host != nullptr)
    drives_.wiring_.host->drive_error({.drive = *this, .op = request->op, .action = action, .error = error});
  if (action == ErrorAction::Ignore) finish(request, {});
  if (action == ErrorAction::Report) finish(request, std::unexpected(error));
}

void Drive::finish(const RequestPtr& request, Result<> result) {
  DriveCounters& counter = counters(request->op);
  stats_.last_access_ns = monotonic_ns();
  if (result) {
    counter.operations++;
    counter.bytes += request->length;
    counter.time_ns +=
        static_cast<uint64_t>(std::max<int64_t>(0, stats_.last_access_ns - request->submitted_ns));
    if (request->op == DriveOp::Write || request->op == DriveOp::WriteZeroes)
      stats_.highest_written = std::max(stats_.highest_written, request->offset + request->length);
  } else {
    counter.failed++;
  }
  // The device may do anything in there, even cancel.
  const Done done = std::exchange(request->done, nullptr);
  if (done) done(std::move(result));
}

void Drive::cancel_all() {
  waiting_.clear();
  stalled_.clear();
  for (const RequestPtr& request : running_) {
    if (request->cancelled) continue;
    request->cancelled = true;
    cancelled_running_++;
  }
}

void Drive::resume() {
  io_status_ = IoStatus::Ok;
  if (stalled_.empty()) return;
  waiting_.insert(waiting_.begin(), stalled_.begin(), stalled_.end());
  stalled_.clear();
  admit();
}

void Drive::drain(std::function<void()> idle) {
  if (in_flight_ != 0)
    idle_.push_back(std::move(idle));
  else
    drives_.run({}, std::move(idle));
}

void Drive::tell_idle() {
  for (const auto& idle : std::exchange(idle_, {})) idle();
}

Result<> Drive::read_now(uint64_t offset, std::span<uint8_t> into) {
  if (!inserted()) return fail(ErrorKind::NotFound, "No medium found");
  TRY(check_range(offset, into.size(), size_));
  return medium_.image->read(offset, into);
}

DriveCounters& Drive::counters(DriveOp op) {
  switch (op) {
    case DriveOp::Read: return stats_.read;
    case DriveOp::Flush: return stats_.flush;
    case DriveOp::Discard: return stats_.discard;
    default: return stats_.write;
  }
}

void Drive::set_throttle(std::shared_ptr<Throttle> throttle, std::string group) {
  config_.throttle = std::move(throttle);
  config_.throttle_group = std::move(group);
  throttle_timer_->cancel();
  admit();
}

// -- media --------------------------------------------------------------------------------------------------

void Drive::set_tray_open(bool open) {
  if (tray_open_ == open) return;
  tray_open_ = open;
  if (drives_.wiring_.host != nullptr) drives_.wiring_.host->tray_moved(*this, open);
}

Result<> Drive::open_for_operator(bool force) {
  if (attached() && !attachment_.removable)
    return failf(ErrorKind::Unsupported, "Device '{}' is not removable", id());
  if (locked_ && !tray_open_) {
    if (frontend_ != nullptr) frontend_->eject_requested(force);
    if (!force)
      return failf(ErrorKind::Busy,
                   "Device '{}' is locked and force was not specified, wait for tray to open and try again",
                   id());
  }
  if (attachment_.has_tray) set_tray_open(true);
  return {};
}

Result<> Drive::eject(bool force) {
  TRY(open_for_operator(force));
  if (!inserted()) return {};
  remove_medium();
  if (frontend_ != nullptr) frontend_->media_changed();
  return {};
}

Result<> Drive::change(Medium medium, bool force) {
  TRY(open_for_operator(force));
  if (inserted()) {
    remove_medium();
    if (frontend_ != nullptr) frontend_->media_changed();
  }
  insert(std::move(medium));
  set_tray_open(false);
  if (frontend_ != nullptr) frontend_->media_changed();
  return {};
}

void Drive::insert(Medium medium) {
  medium_ = std::move(medium);
  size_ = inserted() ? align_down(medium_.image->size(), kSector) : 0;
  io_status_ = IoStatus::Ok;
  node_name_ = config_.node_name;
  if (inserted() && node_name_.empty()) node_name_ = "#block" + std::to_string(drives_.next_node_++);
}

// What is under way keeps the image open; requests that have not begun fail.
void Drive::remove_medium() {
  if (inserted()) retired_.push_back(std::move(medium_.image));
  medium_ = {};
  node_name_ = config_.node_name;
  size_ = 0;
  waiting_.insert(waiting_.begin(), stalled_.begin(), stalled_.end());
  stalled_.clear();
  admit();
  close_retired();
}

// Closing may write metadata, so a worker does it.
void Drive::close_retired() {
  while (!retired_.empty()) {
    const auto idle =
        std::ranges::find_if(retired_, [](const auto& image) { return image.use_count() == 1; });
    if (idle == retired_.end()) return;
    std::shared_ptr<ImageNode> image = std::move(*idle);
    retired_.erase(idle);
    const auto outcome = std::make_shared<Result<>>();
    drives_.closings_->begin();
    auto work = [image = std::move(image), outcome, closings = drives_.closings_]() mutable {
      *outcome = image->close();
      image.reset();
      closings->end();
    };
    drives_.run(std::move(work), [outcome, id = id()] {
      if (!*outcome) log_error("drive {}: closing its image: {}", id, outcome->error().message());
    });
  }
}

void Drive::abandon() {
  abandoned_ = true;
  set_error_policies(ErrorPolicy::Report, ErrorPolicy::Report);
  remove_medium();
}

// Commits and resizes have the image for themselves.
void Drive::when_quiet(std::function<void()> begin, Done done) {
  Result<> possible;
  if (!inserted())
    possible = failf(ErrorKind::NotFound, "Device '{}' has no medium", id());
  else if (quiet_)
    possible = failf(ErrorKind::Busy, "Device '{}' is being committed or resized", id());
  if (!possible) {
    drives_.run({}, [possible, done = std::move(done)] { done(possible); });
    return;
  }
  quiet_ = true;
  drain(std::move(begin));
}

void Drive::quiet_ended() {
  quiet_ = false;
  admit();
  close_retired();
}

void Drive::resize(uint64_t size, Done done) {
  Result<> possible;
  if (medium_.read_only) possible = fail(ErrorKind::Permission, "Image is read-only");
  if (size % kSector != 0) possible = fail(ErrorKind::Invalid, "The new size must be a multiple of 512");
  if (inserted() && !possible) {
    drives_.run({}, [possible, done = std::move(done)] { done(possible); });
    return;
  }
  when_quiet([this, size, done] { begin_resize(size, done); }, done);
}

void Drive::begin_resize(uint64_t size, Done done) {
  const auto outcome = std::make_shared<Result<>>();
  const std::shared_ptr<ImageNode> image = medium_.image;
  auto work = [image, size, outcome] {
    *outcome = image ? image->resize(size, Preallocation::Off) : fail(ErrorKind::NotFound, "No medium found");
  };
  drives_.run(std::move(work), [this, image, outcome, done = std::move(done)] {
    if (*outcome && medium_.image == image) {
      size_ = align_down(image->size(), kSector);
      if (frontend_ != nullptr) frontend_->resized();
    }
    quiet_ended();
    done(std::move(*outcome));
  });
}

void Drive::commit(Done done) {
  if (inserted() && !medium_.reopen_base) {
    Result<> possible = failf(ErrorKind::Unsupported, "Device '{}' has no backing image to commit to", id());
    drives_.run({}, [possible = std::move(possible), done = std::move(done)] { done(possible); });
    return;
  }
  when_quiet([this, done] { begin_commit(done); }, done);
}

void Drive::begin_commit(Done done) {
  const auto outcome = std::make_shared<Result<>>();
  auto work = [image = medium_.image, reopen = medium_.reopen_base, outcome] {
    // The medium may have been taken out since.
    if (!image) {
      *outcome = fail(ErrorKind::NotFound, "No medium found");
    } else if (auto base = reopen(); !base) {
      *outcome = std::unexpected(base.error());
    } else {
      *outcome = commit_into(*image, **base);
    }
  };
  drives_.run(std::move(work), [this, outcome, done = std::move(done)] {
    quiet_ended();
    done(std::move(*outcome));
  });
}

}  // namespace rhea::block
