#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "async/fake_clock.h"
#include "block/drive/drives.h"
#include "block/formats/raw.h"

namespace rhea::block {
namespace {

// An image in memory whose next requests fail or wait as a test says.
class TestImage final : public ImageNode {
 public:
  TestImage() : ImageNode(raw_driver(), nullptr) {}

  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, std::span<uint8_t> into) override {
    TRY(gate());
    const std::lock_guard guard(mutex_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }
  bool read_at_once(uint64_t offset, std::span<const iovec> into) override {
    if (!cached || into.size() != 1) return false;
    return read(offset, {static_cast<uint8_t*>(into[0].iov_base), into[0].iov_len}).has_value();
  }
  Result<> write(uint64_t offset, std::span<const uint8_t> from) override {
    TRY(gate());
    const std::lock_guard guard(mutex_);
    std::copy_n(from.begin(), from.size(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
  Result<> write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) override {
    TRY(gate());
    const std::lock_guard guard(mutex_);
    std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), length, uint8_t{0});
    zero_writes++;
    unmaps += mode == ZeroMode::MayUnmap ? 1 : 0;
    return {};
  }
  Result<> discard(uint64_t, uint64_t) override {
    discards++;
    return {};
  }
  Result<> flush() override {
    flushes++;
    return {};
  }
  Result<Extent> extent(uint64_t, uint64_t length) override {
    return Extent{.length = length, .allocated = true, .data = true};
  }
  Result<> resize(uint64_t size, Preallocation) override {
    bytes_.resize(size);
    return {};
  }
  Result<> close() override {
    closes++;
    return {};
  }

  void fail_with(std::optional<ErrorKind> kind) {
    const std::lock_guard guard(mutex_);
    failure_ = kind;
  }
  void hold(bool held) {
    const std::lock_guard guard(mutex_);
    held_ = held;
    wake_.notify_all();
  }

  bool cached = false;
  static inline std::atomic<unsigned> flushes, discards, zero_writes, unmaps, closes;

 private:
  Result<> gate() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !held_; });
    if (failure_) return fail(*failure_, "as the test wants");
    return {};
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(64 * 1024);
  std::optional<ErrorKind> failure_;
  bool held_ = false;
};

struct Host final : DriveHost {
  void drive_error(const DriveError& error) override {
    errors++;
    last = error.action;
  }
  void tray_moved(const Drive&, bool open) override { tray_open = open; }
  unsigned errors = 0;
  ErrorAction last = ErrorAction::Report;
  bool tray_open = false;
};

struct Front final : DriveFrontend {
  void media_changed() override { changes++; }
  void resized() override { resizes++; }
  void eject_requested(bool) override { requests++; }
  unsigned changes = 0, resizes = 0, requests = 0;
};

class DriveTest : public ::testing::Test {
 protected:
  DriveTest() {
    lock_.lock();
    TestImage::flushes = TestImage::discards = TestImage::zero_writes = TestImage::unmaps = 0;
    TestImage::closes = 0;
  }
  ~DriveTest() override { lock_.unlock(); }

  Drive& make(DriveConfig config = {.id = "d"}, bool read_only = false) {
    image_ = std::make_shared<TestImage>();
    return **drives_.add(std::move(config), Medium{.image = image_, .filename = "x", .read_only = read_only});
  }
  // What a request came to.
  struct Outcome {
    bool done = false;
    std::optional<ErrorKind> error;
  };
  Drive::Done into(Outcome& outcome) {
    return [&outcome](Result<> result) {
      outcome.done = true;
      outcome.error.reset();
      if (!result) outcome.error = result.error().kind();
    };
  }
  void turn_until(const std::function<bool()>& reached) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    lock_.unlock();
    while (true) {
      lock_.lock();
      const bool there = reached();
      lock_.unlock();
      if (there || std::chrono::steady_clock::now() > limit) break;
      loop_.run_once(10'000'000);
    }
    lock_.lock();
    EXPECT_TRUE(reached());
  }
  void settle(Drive& drive) {
    turn_until([&] { return drive.in_flight() == 0; });
  }

  std::recursive_mutex lock_;
  async::EventLoop loop_{lock_};
  async::FakeClock clock_;
  Host host_;
  std::shared_ptr<TestImage> image_;
  Drives drives_{{.loop = loop_, .clock = clock_, .host = &host_}};
};

TEST_F(DriveTest, what_was_written_is_read_and_counted) {
  Drive& drive = make();
  std::vector<uint8_t> data(1024, 0x5a), back(1024);
  Outcome wrote, read;
  drive.write(512, data, into(wrote));
  EXPECT_FALSE(wrote.done);  // never inside the call
  turn_until([&] { return wrote.done; });
  drive.read(512, back, into(read));
  turn_until([&] { return read.done; });
  EXPECT_FALSE(wrote.error || read.error);
  EXPECT_EQ(back, data);
  EXPECT_EQ(drive.stats().write.bytes, 1024u);
  EXPECT_EQ(drive.stats().read.operations, 1u);
  EXPECT_EQ(drive.stats().highest_written, 1536u);
  EXPECT_EQ(TestImage::flushes, 0u);
}

// What a vCPU reads from the page cache ends when it leaves the device, not inside of it.
TEST_F(DriveTest, what_is_cached_is_read_as_the_device_is_left) {
  Drive& drive = make();
  image_->cached = true;
  std::vector<uint8_t> back(512, 1);
  Outcome first, second;
  drives_.end_anywhere(true);
  AccessScope::take_on(true);
  {
    const AccessScope access;
    drive.read(0, back, [&](Result<> result) {
      into(first)(std::move(result));
      drive.read(512, back, into(second));
      EXPECT_FALSE(second.done);
    });
    EXPECT_FALSE(first.done);
  }
  AccessScope::take_on(false);
  EXPECT_TRUE(first.done && second.done);
  EXPECT_EQ(back[0], 0);
}

TEST_F(DriveTest, a_worker_ends_what_it_did_if_it_may) {
  Drive& drive = make();
  std::vector<uint8_t> data(512);
  Outcome wrote;
  drives_.end_anywhere(true);
  drive.write(0, data, into(wrote));
  for (int i = 0; i < 1000 && !wrote.done; ++i) {  // without the loop
    lock_.unlock();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    lock_.lock();
    if (i > 200) drives_.wait_idle();  // the lock was never free when it looked
  }
  EXPECT_TRUE(wrote.done);
  drives_.end_anywhere(false);
}

// A vCPU, the workers and the loop all end requests, and the device is reset in between.
TEST_F(DriveTest, each_request_ends_once_whoever_ends_it) {
  constexpr int kAccesses = 2000;
  Drive& drive = make();
  drives_.end_anywhere(true);
  int submitted = 0, ended = 0, let_go = 0;
  std::atomic<bool> finished = false;
  struct Buffer {
    explicit Buffer(int& count) : count_(count) {}
    ~Buffer() { count_++; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    std::vector<uint8_t> bytes = std::vector<uint8_t>(512);
    int& count_;
  };
  std::thread vcpu([&] {
    AccessScope::take_on(true);
    for (int i = 0; i < kAccesses; ++i) {
      if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
      const AccessScope access;
      const std::lock_guard guard(lock_);
      image_->cached = i % 3 != 0;
      const auto buffer = std::make_shared<Buffer>(let_go);
      auto done = [&ended, buffer](Result<> result) { ended += result.has_value() ? 1 : 0; };
      submitted++;
      if (i % 5 == 0)
        drive.write(512, buffer->bytes, std::move(done));
      else
        drive.read(1024, buffer->bytes, std::move(done));
      if (i % 97 == 0) drive.cancel_all();
    }
    finished = true;
  });
  turn_until([&] { return finished && drive.in_flight() == 0; });
  vcpu.join();
  EXPECT_EQ(submitted, kAccesses);
  EXPECT_EQ(let_go, kAccesses);
  EXPECT_GT(ended, 0);
  EXPECT_LE(ended, kAccesses - kAccesses / 97);
}

// A device that is reset as it is accessed: the read that was done at once is not handed over.
TEST_F(DriveTest, what_is_cached_can_be_cancelled) {
  Drive& drive = make();
  image_->cached = true;
  std::vector<uint8_t> back(512);
  Outcome cancelled, next;
  drives_.end_anywhere(true);
  AccessScope::take_on(true);
  {
    const AccessScope access;
    drive.read(0, back, into(cancelled));
    drive.cancel_all();
    drive.read(0, back, into(next));
  }
  AccessScope::take_on(false);
  EXPECT_FALSE(cancelled.done);
  EXPECT_TRUE(next.done);
  EXPECT_EQ(drive.in_flight(), 0u);
}

TEST_F(DriveTest, what_is_cached_waits_for_what_waits) {
  Drive& drive = make();
  std::vector<uint8_t> back(512);
  const iovec piece{back.data(), back.size()};
  EXPECT_FALSE(drive.read_at_once(0, {&piece, 1}));  // not cached
  image_->cached = true;
  EXPECT_TRUE(drive.read_at_once(0, {&piece, 1}));
  EXPECT_FALSE(drive.read_at_once(64 * 1024, {&piece, 1}));
  EXPECT_EQ(drive.stats().read.operations, 1u);
  image_->cached = false;
  image_->hold(true);
  drive.read(0, back, [](Result<>) {});
  drive.cancel_all();
  image_->cached = true;
  EXPECT_FALSE(drive.read_at_once(0, {&piece, 1}));  // the cancelled one comes first
  image_->hold(false);
  settle(drive);
  EXPECT_TRUE(drive.read_at_once(0, {&piece, 1}));
}

// As the machine stands still between the request and the end of the access.
TEST_F(DriveTest, what_may_end_anywhere_no_more_ends_in_the_loop) {
  Drive& drive = make();
  image_->cached = true;
  std::vector<uint8_t> back(512);
  Outcome read;
  drives_.end_anywhere(true);
  AccessScope::take_on(true);
  {
    const AccessScope access;
    drive.read(0, back, into(read));
    drives_.end_anywhere(false);
  }
  AccessScope::take_on(false);
  EXPECT_FALSE(read.done);
  turn_until([&] { return read.done; });
}

TEST_F(DriveTest, a_chain_of_cached_reads_gives_the_guest_its_turn) {
  Drive& drive = make();
  image_->cached = true;
  std::vector<uint8_t> back(512);
  int ended = 0;
  std::function<void(Result<>)> next = [&](Result<>) {
    if (++ended < 50) drive.read(0, back, next);
  };
  drives_.end_anywhere(true);
  AccessScope::take_on(true);
  {
    const AccessScope access;
    drive.read(0, back, next);
  }
  AccessScope::take_on(false);
  EXPECT_GT(ended, 1);
  EXPECT_LT(ended, 50);
  turn_until([&] { return ended == 50; });
}

TEST_F(DriveTest, senseless_requests_fail_later_and_touch_no_image) {
  Drive& drive = make({.id = "d"}, true);
  std::vector<uint8_t> data(1024);
  Outcome past, wrote;
  drive.read(64 * 1024 - 512, data, into(past));
  drive.write(0, data, into(wrote));
  EXPECT_FALSE(past.done || wrote.done);
  turn_until([&] { return past.done && wrote.done; });
  EXPECT_EQ(past.error, ErrorKind::OutOfRange);
  EXPECT_EQ(wrote.error, ErrorKind::Permission);
  EXPECT_EQ(drive.stats().read.invalid, 1u);
  EXPECT_EQ(host_.errors, 0u);
}

TEST_F(DriveTest, without_a_write_cache_every_write_is_flushed) {
  Drive& drive = make({.id = "d", .write_cache = false});
  std::vector<uint8_t> data(512);
  Outcome wrote;
  drive.write(0, data, into(wrote));
  turn_until([&] { return wrote.done; });
  EXPECT_EQ(TestImage::flushes, 1u);
}

TEST_F(DriveTest, zeros_are_found_when_asked_for) {
  Drive& drive = make({.id = "d", .detect_zeroes = DetectZeroes::Unmap, .discard = true});
  std::vector<uint8_t> zeros(512), ones(512, 1);
  Outcome first, second;
  drive.write(0, zeros, into(first));
  drive.write(512, ones, into(second));
  turn_until([&] { return first.done && second.done; });
  EXPECT_EQ(TestImage::zero_writes, 1u);
  EXPECT_EQ(TestImage::unmaps, 1u);
}

TEST_F(DriveTest, discards_reach_the_image_only_if_wanted) {
  Drive& ignoring = make();
  Outcome first, second;
  ignoring.discard(0, 4096, into(first));
  Drive& passing = make({.id = "e", .discard = true});
  passing.discard(0, 4096, into(second));
  turn_until([&] { return first.done && second.done; });
  EXPECT_FALSE(first.error || second.error);
  EXPECT_EQ(TestImage::discards, 1u);
}

TEST_F(DriveTest, errors_are_reported_ignored_or_stop_the_machine) {
  Drive& drive = make();
  std::vector<uint8_t> data(512);
  image_->fail_with(ErrorKind::Io);
  Outcome read, wrote;
  drive.read(0, data, into(read));
  turn_until([&] { return read.done; });
  EXPECT_EQ(read.error, ErrorKind::Io);
  EXPECT_EQ(host_.last, ErrorAction::Report);
  drive.set_error_policies(ErrorPolicy::Ignore, ErrorPolicy::Enospc);
  drive.read(0, data, into(read));
  read = {};
  turn_until([&] { return read.done; });
  EXPECT_FALSE(read.error);
  // A full disk: the request waits for the machine to go on, and fails again as long as there is no room.
  image_->fail_with(ErrorKind::NoSpace);
  drive.write(0, data, into(wrote));
  settle(drive);
  EXPECT_FALSE(wrote.done);
  EXPECT_EQ(host_.last, ErrorAction::Stop);
  EXPECT_EQ(drive.io_status(), IoStatus::NoSpace);
  EXPECT_EQ(drive.stalled(), 1u);
  drives_.resume();
  settle(drive);
  EXPECT_FALSE(wrote.done);
  image_->fail_with(std::nullopt);
  drives_.resume();
  turn_until([&] { return wrote.done; });
  EXPECT_FALSE(wrote.error);
  EXPECT_EQ(drive.io_status(), IoStatus::Ok);
}

TEST_F(DriveTest, cancelled_requests_are_silent_and_hold_back_later_ones) {
  Drive& drive = make();
  const auto buffer = std::make_shared<std::vector<uint8_t>>(512);
  Outcome first, second;
  image_->hold(true);
  drive.write(0, *buffer, [buffer, done = into(first)](Result<> result) { done(std::move(result)); });
  drive.cancel_all();
  drive.read(0, *buffer, into(second));
  loop_.run_once(0);
  EXPECT_EQ(buffer.use_count(), 2);  // the host may still use it
  EXPECT_EQ(drive.in_flight(), 1u);
  image_->hold(false);
  turn_until([&] { return second.done; });
  EXPECT_FALSE(first.done);
  EXPECT_EQ(buffer.use_count(), 1);
}

TEST_F(DriveTest, drain_tells_when_nothing_is_under_way) {
  Drive& drive = make();
  std::vector<uint8_t> data(512);
  bool idle = false;
  Outcome wrote;
  drive.write(0, data, into(wrote));
  drive.drain([&] { idle = wrote.done; });
  turn_until([&] { return idle; });
  idle = false;
  drive.drain([&] { idle = true; });
  EXPECT_FALSE(idle);
  turn_until([&] { return idle; });
}

TEST_F(DriveTest, requests_wait_while_an_overlay_is_committed) {
  image_ = std::make_shared<TestImage>();
  Medium medium{.image = image_, .filename = "x", .temporary = true};
  medium.reopen_base = []() -> Result<std::unique_ptr<ImageNode>> { return std::make_unique<TestImage>(); };
  Drive& drive = **drives_.add({.id = "d"}, std::move(medium));
  std::vector<uint8_t> data(512);
  Outcome committed, again, wrote;
  image_->hold(true);
  drive.commit(into(committed));
  drive.commit(into(again));
  turn_until([&] { return again.done; });
  EXPECT_EQ(again.error, ErrorKind::Busy);
  drive.write(0, data, into(wrote));
  loop_.run_once(0);
  EXPECT_FALSE(wrote.done);
  EXPECT_FALSE(committed.done);
  image_->hold(false);
  turn_until([&] { return wrote.done; });
  EXPECT_TRUE(committed.done);
  EXPECT_FALSE(committed.error);
}

TEST_F(DriveTest, a_fixed_image_has_nothing_to_commit) {
  Drive& drive = make();
  Outcome committed;
  drive.commit(into(committed));
  turn_until([&] { return committed.done; });
  EXPECT_EQ(committed.error, ErrorKind::Unsupported);
}

TEST_F(DriveTest, wait_idle_calls_what_is_done) {
  Drive& drive = make();
  std::vector<uint8_t> data(512);
  Outcome wrote;
  drive.write(0, data, into(wrote));
  drives_.wait_idle();
  EXPECT_TRUE(wrote.done);
}

TEST_F(DriveTest, a_locked_tray_opens_by_force_only) {
  Drive& drive = make();
  Front front;
  ASSERT_TRUE(drive.attach(front, {.removable = true, .has_tray = true}));
  EXPECT_FALSE(drive.attach(front, {}));
  drive.set_locked(true);
  const auto refused = drive.eject(false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(),
            "Device 'd' is locked and force was not specified, wait for tray to open and try again");
  EXPECT_EQ(front.requests, 1u);
  EXPECT_TRUE(drive.inserted());
  ASSERT_TRUE(drive.eject(true));
  EXPECT_FALSE(drive.inserted());
  EXPECT_TRUE(host_.tray_open);
  EXPECT_EQ(front.changes, 1u);
  drives_.wait_idle();
  image_.reset();
  EXPECT_TRUE(drive.tray_open());
  ASSERT_TRUE(drive.change(Medium{.image = std::make_shared<TestImage>()}, false));
  EXPECT_TRUE(drive.inserted());
  EXPECT_FALSE(drive.tray_open());
  EXPECT_EQ(front.changes, 2u);
}

TEST_F(DriveTest, an_ejected_image_is_closed_after_its_last_request) {
  Drive& drive = make();
  std::vector<uint8_t> data(512);
  Outcome wrote, after;
  TestImage& image = *image_;
  image.hold(true);
  drive.write(0, data, into(wrote));
  image_.reset();
  ASSERT_TRUE(drive.eject(false));
  drive.write(0, data, into(after));
  turn_until([&] { return after.done; });
  EXPECT_EQ(after.error, ErrorKind::NotFound);
  EXPECT_EQ(TestImage::closes, 0u);
  image.hold(false);
  turn_until([&] { return wrote.done && TestImage::closes == 1; });
  EXPECT_FALSE(wrote.error);
}

TEST_F(DriveTest, fixed_disks_cannot_be_ejected_but_resized) {
  Drive& drive = make();
  Front front;
  ASSERT_TRUE(drive.attach(front, {}));
  const auto refused = drive.eject(true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "Device 'd' is not removable");
  Outcome grown, odd;
  drive.resize(128 * 1024, into(grown));
  drives_.wait_idle();
  EXPECT_TRUE(grown.done && !grown.error);
  EXPECT_EQ(drive.size(), 128u * 1024);
  EXPECT_EQ(front.resizes, 1u);
  drive.resize(100, into(odd));
  drives_.wait_idle();
  EXPECT_EQ(odd.error, ErrorKind::Invalid);
}

TEST_F(DriveTest, requests_wait_for_a_resize_and_fit_the_new_size) {
  Drive& drive = make();
  std::array<uint8_t, 512> sector{};
  Outcome first, resized, second, again;
  image_->hold(true);
  drive.read(0, sector, into(first));
  drive.resize(128 * 1024, into(resized));
  drive.resize(256 * 1024, into(again));
  drive.read(128 * 1024 - 512, sector, into(second));
  image_->hold(false);
  drives_.wait_idle();
  EXPECT_TRUE(first.done && resized.done && second.done && again.done);
  EXPECT_FALSE(first.error || resized.error || second.error);
  EXPECT_EQ(again.error, ErrorKind::Busy);
}

TEST_F(DriveTest, an_abandoned_drive_fails_and_is_not_found) {
  Drive& drive = make();
  Front front;
  ASSERT_TRUE(drive.attach(front, {}));
  image_.reset();  // only what nobody else has is closed
  drive.abandon();
  EXPECT_EQ(drives_.find("d"), nullptr);
  std::array<uint8_t, 512> sector{};
  Outcome read;
  drive.read(0, sector, into(read));
  drives_.wait_idle();
  EXPECT_EQ(read.error, ErrorKind::NotFound);
  EXPECT_EQ(TestImage::closes, 1u);
}

TEST_F(DriveTest, a_throttle_lets_pass_what_its_rate_allows) {
  const auto throttle = std::make_shared<Throttle>();
  ThrottleLimits limits;
  limits.bytes_total.average = 10'240;  // 1024 may come at once
  throttle->set_limits(limits, clock_.now_ns());
  Drive& drive = make({.id = "d", .throttle = throttle});
  std::vector<uint8_t> data(2048);
  Outcome first, second;
  drive.read(0, data, into(first));
  drive.read(0, data, into(second));
  drives_.wait_idle();
  EXPECT_TRUE(first.done);
  EXPECT_FALSE(second.done);
  clock_.advance(90'000'000);  // (2048 - 1024) / 10240 s is 100 ms
  drives_.wait_idle();
  EXPECT_FALSE(second.done);
  clock_.advance(11'000'000);
  drives_.wait_idle();
  EXPECT_TRUE(second.done);
}

TEST_F(DriveTest, contradictory_limits_are_refused) {
  ThrottleLimits limits;
  limits.bytes_total.average = 1;
  EXPECT_TRUE(limits.check());
  limits.bytes_read.average = 1;
  EXPECT_FALSE(limits.check());
  limits = {};
  limits.ops_read.max = 5;
  EXPECT_FALSE(limits.check());
}

TEST_F(DriveTest, closing_everything_closes_every_image) {
  make();
  make({.id = "e"});
  EXPECT_FALSE(drives_.add({.id = "e"}, {}));
  EXPECT_TRUE(drives_.close_all());
  EXPECT_EQ(TestImage::closes, 2u);
}

}  // namespace
}  // namespace rhea::block
