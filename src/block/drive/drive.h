// What a disk controller talks to: a drive with or without a medium in it, whose requests run on worker
// threads. Between the synchronous nodes of node.h and a device model.
//
// A device attaches itself as the frontend, submits requests, and gets each one's Done later
// (Drives::end_anywhere()). Error policies are done with here: a device sees the final outcome only, maybe
// much later (after `cont`).
//
// Buffers: the host may use a request's buffer until its Done was destroyed, which after cancel_all() is
// later than the cancellation and without a call. So let the Done own the buffer (capture a shared_ptr).
//
// Order: requests run in parallel and in no order; a flush covers the writes that were done when it was
// submitted. After cancel_all() new requests wait until the host has let go of the cancelled ones.
//
// Every call and callback with the machine lock held; nothing blocks unless it says so. What the host has in
// its page cache is read at once, without a worker.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "async/clock.h"
#include "base/result.h"
#include "block/drive/drive_types.h"

namespace rhea::block {

class Drives;

// The device that a drive is connected to.
class DriveFrontend {
 public:
  virtual ~DriveFrontend() = default;
  // There is another medium, or none: inserted(), size(), read_only() say what is now.
  virtual void media_changed() {}
  // size() is different.
  virtual void resized() {}
  // The operator wants to take the medium out while the guest keeps the tray locked.
  virtual void eject_requested(bool force) { static_cast<void>(force); }
};

class Drive {
 public:
  using Done = std::function<void(Result<>)>;

  // Made by Drives::add().
  Drive(Drives& drives, DriveConfig config, Medium medium);
  ~Drive();
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  const std::string& id() const { return config_.id; }
  // Made by -blockdev: a node that devices use, without a name of its own as a drive.
  bool is_node() const { return !config_.node_name.empty() && config_.node_name == config_.id; }
  // What programs know it by: "" for a node.
  std::string shown_id() const { return is_node() || abandoned_ ? std::string() : config_.id; }
  const DriveConfig& config() const { return config_; }
  // What -blockdev called it, else one made up for each medium, as in QEMU; empty without a medium.
  const std::string& node_name() const { return node_name_; }
  const std::string& serial() const { return config_.serial; }
  void set_serial(std::string serial) { config_.serial = std::move(serial); }
  void set_error_policies(ErrorPolicy on_read, ErrorPolicy on_write);

  // -- the device's end
  struct Attachment {
    bool removable = false;   // the medium can be taken out
    bool has_tray = false;    // set_tray_open(), set_locked() mean something
    std::string device_id{};  // the device's id or path, for messages; empty: not known yet
  };
  // Busy: it has a device already.
  Result<> attach(DriveFrontend& frontend, const Attachment& attachment);
  // Cancels all requests.
  void detach();
  bool attached() const { return frontend_ != nullptr; }
  const Attachment& attachment() const { return attachment_; }
  void set_device_id(std::string id) { attachment_.device_id = std::move(id); }

  bool inserted() const { return medium_.image != nullptr; }
  bool read_only() const { return medium_.read_only; }
  // Bytes; 0 without a medium. Whole 512-byte sectors.
  uint64_t size() const { return size_; }
  // False: the guest turned it off or cache= did; every write is then followed by a flush.
  bool write_cache() const { return config_.write_cache; }
  void set_write_cache(bool on) { config_.write_cache = on; }
  bool discards() const { return config_.discard; }

  // The whole range must be inside size(), else the request fails with OutOfRange; without a medium with
  // NotFound; a write to a read-only one with Permission. Done is never called inside the call.
  void read(uint64_t offset, std::span<uint8_t> into, Done done);
  // Reads inside the call what the host has in its page cache. False: it has not, or requests wait for their
  // turn; the pieces may have been written, and read() is what to do.
  bool read_at_once(uint64_t offset, std::span<const iovec> into);
  void write(uint64_t offset, std::span<const uint8_t> from, Done done);
  void flush(Done done);
  // A hint; succeeds without an effect if discard=ignore.
  void discard(uint64_t offset, uint64_t length, Done done);
  void write_zeroes(uint64_t offset, uint64_t length, bool may_unmap, Done done);
  // No Done of a request submitted so far is called any more.
  void cancel_all();
  // `idle` is called from the event loop once nothing is under way (requests that wait for `cont` or behind a
  // throttle count as not under way).
  void drain(std::function<void()> idle);
  size_t in_flight() const { return in_flight_; }
  // Blocks until the bytes are there: for start-up (partition tables) and loaders, not for guests.
  Result<> read_now(uint64_t offset, std::span<uint8_t> into);
  // A request that the device refused itself, for the statistics.
  void count_invalid(DriveOp op) { counters(op).invalid++; }

  bool tray_open() const { return tray_open_; }
  bool locked() const { return locked_; }
  // The guest moved the tray (START STOP UNIT) or a button did. The medium stays in the tray.
  void set_tray_open(bool open);
  void set_locked(bool locked) { locked_ = locked; }

  // -- the operator's end (monitor)
  // Errors are QEMU's: "Device 'x' is not removable", "Device 'x' is locked and force was not specified,
  // ...".
  Result<> eject(bool force);
  // Takes out what is in and puts `medium` in. The tray is closed afterwards.
  Result<> change(Medium medium, bool force);
  // Grows or shrinks the image, by a worker. Until `done` is called requests wait.
  void resize(uint64_t size, Done done);
  // The operator takes the image away from a device that stays: its requests fail from now on, and the drive
  // is not found by name any more.
  void abandon();
  bool abandoned() const { return abandoned_; }
  // Writes what a temporary overlay holds back to the image below, by a worker. Until `done` is called
  // requests wait. Other media: an error.
  void commit(Done done);
  void set_throttle(std::shared_ptr<Throttle> throttle, std::string group);

  const Medium& medium() const { return medium_; }
  const DriveStats& stats() const { return stats_; }
  IoStatus io_status() const { return io_status_; }
  void reset_io_status() { io_status_ = IoStatus::Ok; }
  // Requests that wait for the VM to go on.
  size_t stalled() const { return stalled_.size(); }

 private:
  friend class Drives;
  struct Request;
  using RequestPtr = std::shared_ptr<Request>;

  void submit(RequestPtr request);
  void admit();
  void when_quiet(std::function<void()> begin, Done done);
  void quiet_ended();
  void begin_commit(Done done);
  void begin_resize(uint64_t size, Done done);
  void start(const RequestPtr& request);
  void completed(const RequestPtr& request, bool host_may_fail);
  void failed(const RequestPtr& request);
  void finish(const RequestPtr& request, Result<> result);
  Result<> check(const Request& request) const;
  Result<> open_for_operator(bool force);
  DriveCounters& counters(DriveOp op);
  void remove_medium();
  void insert(Medium medium);
  void close_retired();
  void resume();
  void tell_idle();

  Drives& drives_;
  DriveConfig config_;
  Medium medium_;
  std::string node_name_;
  uint64_t size_ = 0;
  DriveFrontend* frontend_ = nullptr;
  Attachment attachment_;
  bool tray_open_ = false;
  bool locked_ = false;
  IoStatus io_status_ = IoStatus::Ok;

  std::deque<RequestPtr> waiting_;  // for a throttle or for cancelled requests
  std::deque<RequestPtr> stalled_;  // failed; tried again when the VM goes on
  std::list<RequestPtr> running_;
  size_t in_flight_ = 0;
  size_t cancelled_running_ = 0;
  bool quiet_ = false;  // a commit or a resize is wanted or under way: nothing is started meanwhile
  bool abandoned_ = false;
  std::list<std::shared_ptr<ImageNode>> retired_;
  std::vector<std::function<void()>> idle_;
  std::unique_ptr<async::Timer> throttle_timer_;
  DriveStats stats_;
};

}  // namespace rhea::block
