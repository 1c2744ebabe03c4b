// What a format gives the rest of the block layer: a name, a probe, open, create, measure. One constant
// object a format, listed in registry.cc.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "block/create_options.h"
#include "block/image.h"
#include "block/protocols/file_engine.h"
#include "config/key_values.h"

namespace rhea::block {

enum class CacheMode { Writeback, Writethrough, None, Directsync, Unsafe };

Result<CacheMode> parse_cache_mode(std::string_view word);
// Null: no such mode.
std::optional<Preallocation> parse_preallocation(std::string_view word);

struct OpenFlags {
  bool writable = false;
  bool no_backing = false;        // leave the backing image alone
  bool force_share = false;       // -U: read-only, whoever writes
  bool only_look = false;         // for `info`: no data is read or written
  bool for_check = false;         // open images that say they are damaged
  bool exclusive_resize = false;  // raw: will be resized, which other processes must be told
  CacheMode cache = CacheMode::Writeback;
  FileEngine engine = FileEngine::Threads;
};

// What format drivers get: the file is open and locked as `flags` say and is theirs to move from here;
// `options` are the format's own keys (from json: or --image-opts), of which they take out those they know.
// What is left in there is the user's error.
struct OpenRequest {
  std::unique_ptr<BlockNode> file;
  std::string filename;  // of the image, to find files named relative to it; may be empty
  OpenFlags flags;
  config::KeyValues options;
  bool probed = false;  // the format is a guess
};

struct CreateRequest {
  std::string filename;
  uint64_t size = 0;
  CreateValues values;  // of the tables of the format and of the protocol
};

struct MeasureRequest {
  uint64_t size = 0;
  CreateValues values;
  ImageNode* source = nullptr;  // its data is what must fit; null: a new, empty image
};

struct Measurement {
  uint64_t required = 0;
  uint64_t fully_allocated = 0;
  std::optional<uint64_t> bitmaps;
};

class FormatDriver {
 public:
  virtual ~FormatDriver() = default;
  virtual std::string_view name() const = 0;
  // How sure it is that a file that begins with `head` (at most 2048 bytes) is its own: 0 to 100.
  virtual int probe(std::span<const uint8_t> head, std::string_view filename) const = 0;
  virtual Result<std::unique_ptr<ImageNode>> open(OpenRequest& request) const = 0;
  // False: create() and everything about it is refused.
  virtual bool can_create() const { return false; }
  virtual bool can_back() const { return false; }  // has backing_file and backing_fmt
  // In the order in which `create` prints them; "size" is one of them.
  virtual std::span<const CreateOption> create_options() const { return {}; }
  // Those that `amend` can change; none: it cannot.
  virtual std::span<const CreateOption> amend_options() const { return {}; }
  // An existing file is replaced. `size` is what the user said; the format may round it up.
  virtual Result<> create(const CreateRequest& request) const;
  virtual Result<Measurement> measure(const MeasureRequest& request) const;
};

// Null: no such format.
const FormatDriver* find_format(std::string_view name);
std::span<const FormatDriver* const> formats();

}  // namespace rhea::block
