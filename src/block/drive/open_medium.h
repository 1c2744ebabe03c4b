// From what a user says about a disk to a medium for a drive: opens the image with the rights and the cache
// mode that are wanted, and puts a temporary overlay on it for -snapshot.
#pragma once

#include "base/result.h"
#include "block/drive/drive_types.h"
#include "block/open.h"

namespace rhea::block {

struct MediumRequest {
  ImageName name;
  bool read_only = false;
  bool auto_read_only = false;              // read-only if the host does not let us write
  bool direct = false;                      // cache.direct: past the host's page cache
  FileEngine engine = FileEngine::Threads;  // aio
  bool no_flush = false;                    // cache.no-flush: the host's disk may lag behind
  bool snapshot = false;                    // writes go to a temporary overlay
};

// May block. Errors as open_image(); the caller adds what was being opened.
Result<Medium> open_medium(const MediumRequest& request);

// QEMU's warning about an image whose format was guessed to be raw, three lines.
std::string raw_guess_warning(const std::string& filename);

}  // namespace rhea::block
