// What drives are configured with, what they count and what they tell: plain data beside drive.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "block/drive/throttle.h"
#include "block/image.h"

namespace rhea::block {

// An image in a drive.
struct Medium {
  std::shared_ptr<ImageNode> image{};  // null: none
  std::string filename{};              // as the user gave it
  bool read_only = false;
  bool probed = false;     // its format is a guess
  bool temporary = false;  // an overlay of -snapshot: commit() writes it back
  // snapshot=on: opens what lies under the overlay for writing, for commit().
  std::function<Result<std::unique_ptr<ImageNode>>()> reopen_base{};
};

// What becomes of a request that the host failed (werror=, rerror=). Enospc: stop if the host's disk is full,
// else report.
enum class ErrorPolicy { Report, Ignore, Enospc, Stop };
enum class ErrorAction { Report, Ignore, Stop };
enum class DetectZeroes { Off, On, Unmap };
enum class DriveOp { Read, Write, Flush, Discard, WriteZeroes };
enum class IoStatus { Ok, Failed, NoSpace };

struct DriveConfig {
  std::string id;        // -drive id=, or the node-name of -blockdev; unique in a VM
  std::string serial{};  // empty: the device makes one up
  std::string node_name{};
  ErrorPolicy on_read_error = ErrorPolicy::Report;
  ErrorPolicy on_write_error = ErrorPolicy::Enospc;
  DetectZeroes detect_zeroes = DetectZeroes::Off;
  bool cdrom = false;                    // media=cdrom: what a device that can be either makes of it
  bool discard = false;                  // discard=unmap: requests reach the image
  bool write_cache = true;               // false: a write is done once it is on the disk
  std::shared_ptr<Throttle> throttle{};  // shared by the drives of a throttling group; null: none
  std::string throttle_group{};
};

struct DriveCounters {
  uint64_t bytes = 0;
  uint64_t operations = 0;
  uint64_t failed = 0;
  uint64_t invalid = 0;  // refused because they made no sense
  uint64_t time_ns = 0;  // spent from submission to completion, of all that ended well
};

struct DriveStats {
  DriveCounters read, write, flush, discard;
  uint64_t highest_written = 0;  // the end of the highest write
  int64_t last_access_ns = 0;    // monotonic time; 0: never
};

// What a device knows about the disk's shape when the user or the partition table said so.
struct Geometry {
  uint32_t cylinders = 0;
  uint32_t heads = 0;
  uint32_t sectors = 0;
};

class Drive;

// A request that failed (QMP: BLOCK_IO_ERROR).
struct DriveError {
  const Drive& drive;
  DriveOp op;
  ErrorAction action;
  const Error& error;
};

// What drives ask of the machine around them. Machine lock held.
class DriveHost {
 public:
  virtual ~DriveHost() = default;
  // A request failed; with ErrorAction::Stop the VM is to pause (run state "io-error") and to call
  // Drives::resume() when it goes on.
  virtual void drive_error(const DriveError& error) = 0;
  virtual void tray_moved(const Drive& drive, bool open) {
    static_cast<void>(drive);
    static_cast<void>(open);
  }
};

}  // namespace rhea::block
