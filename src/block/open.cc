#include "block/open.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/failf.h"
#include "block/formats/raw.h"
#include "block/protocols/file.h"
#include "block/protocols/protocols.h"

namespace rhea::block {
namespace {

constexpr size_t kProbeBytes = 2048;
constexpr unsigned kLongestChain = 200;

constexpr std::array<CreateOption, 3> kFileOptions = {{
    {"preallocation", CreateOption::Type::Text, "Preallocation mode (allowed values: off, falloc, full)",
     nullptr},
    {"nocow", CreateOption::Type::Bool, "Turn off copy-on-write (valid only on btrfs)", nullptr},
    {"extent_size_hint", CreateOption::Type::Size, "Extent size hint for the image file, 0 to disable",
     nullptr},
}};

constexpr std::array<CreateOption, 1> kRemoteOptions = {{
    {"preallocation", CreateOption::Type::Text, "Preallocation mode (allowed values: off)", nullptr},
}};

// "file:name" and "host_device:name" are `name`.
std::string local_name(const std::string& filename) {
  for (const std::string_view prefix : {"file:", "host_device:"}) {
    if (filename.starts_with(prefix)) return filename.substr(prefix.size());
  }
  return filename;
}

// Moves the keys "PREFIX.x" out of `options`, without the prefix.
config::KeyValues take_prefixed(config::KeyValues& options, const std::string& prefix) {
  config::KeyValues out;
  std::erase_if(options, [&](const config::KeyValue& entry) {
    if (!entry.key.starts_with(prefix + ".")) return false;
    out.push_back({entry.key.substr(prefix.size() + 1), entry.value});
    return true;
  });
  return out;
}

const FormatDriver& probe_format(BlockNode& file, const std::string& filename) {
  std::array<uint8_t, kProbeBytes> head{};
  const size_t present = static_cast<size_t>(std::min<uint64_t>(head.size(), file.size()));
  const FormatDriver* best = &raw_driver();
  if (!file.read(0, std::span(head).first(present))) return *best;
  int best_score = 0;
  for (const FormatDriver* driver : formats()) {
    const int score = driver->probe(std::span(head).first(present), filename);
    if (score > best_score) {
      best_score = score;
      best = driver;
    }
  }
  return *best;
}

// Who reads wants nothing changed meanwhile, and a format's metadata bears no second writer; a raw image that
// is written shares with everybody.
LockSet locks_for(bool is_raw, const OpenFlags& flags) {
  LockSet out;
  out.used = LockSet::kConsistentRead;
  if (flags.writable) out.used |= LockSet::kWrite;
  if (flags.writable && (!is_raw || flags.exclusive_resize)) out.used |= LockSet::kResize;
  if ((!is_raw || !flags.writable) && !flags.force_share) out.unshared = LockSet::kWrite | LockSet::kResize;
  return out;
}

// Keys of every node, whatever its driver.
bool is_node_option(std::string_view key) {
  return key == "read-only" || key == "force-share" || key == "node-name";
}

class Opener {
 public:
  Result<std::unique_ptr<ImageNode>> open(const ImageName& name, const OpenFlags& flags) {
    if (name.filename.starts_with("json:")) {
      ImageName named = name;
      const auto options = config::split_options(std::string_view(name.filename).substr(5), "");
      if (!options) return fail(ErrorKind::Invalid, "Could not parse the JSON options");
      named.options.insert(named.options.end(), options->begin(), options->end());
      named.filename.clear();
      auto node = open(named, flags);
      if (node) (*node)->set_filename(name.filename);
      return node;
    }
    return open_node(name, flags);
  }

 private:
  Result<std::unique_ptr<ImageNode>> open_node(ImageName name, const OpenFlags& flags) {
    std::string driver_name = name.format;
    if (const auto given = config::take(name.options, "driver")) {
      if (!driver_name.empty() && driver_name != *given)
        return fail(ErrorKind::Invalid, "Driver specified twice");
      driver_name = *given;
    }
    std::string shown_format;
    if (protocol_by_driver(driver_name)) {
      // A protocol named as the image itself: raw over it.
      shown_format = driver_name;
      for (config::KeyValue& option : name.options) {
        if (!is_node_option(option.key)) option.key.insert(0, "file.");
      }
      name.options.push_back({"file.driver", driver_name});
      driver_name = "raw";
    }
    const FormatDriver* driver = nullptr;
    OpenRequest request;
    request.probed = driver_name.empty();
    if (!driver_name.empty()) {
      driver = find_format(driver_name);
      if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unknown driver '{}'", driver_name);
    }
    request.flags = flags;
    if (const auto given = config::take(name.options, "read-only"); given && *given == "on")
      request.flags.writable = false;
    if (const auto given = config::take(name.options, "force-share"); given && *given == "on")
      request.flags.force_share = true;
    config::take(name.options, "node-name");
    config::KeyValues backing_options = take_prefixed(name.options, "backing");
    request.file = TRY(open_file_of(name, request.flags, driver));
    request.filename = name.filename;
    request.options = std::move(name.options);
    auto image = TRY(driver->open(request));
    if (!request.options.empty())
      return failf(ErrorKind::Invalid, "Block format '{}' does not support the option '{}'", driver->name(),
                   request.options.front().key);
    image->set_filename(name.filename);
    image->set_shown_format(shown_format);
    if (!request.flags.no_backing) TRY(open_backing(*image, request.flags, std::move(backing_options)));
    return image;
  }

  // The node below the format; probes the format if it is not given.
  Result<std::unique_ptr<BlockNode>> open_file_of(ImageName& name, const OpenFlags& flags,
                                                  const FormatDriver*& driver) {
    config::KeyValues below = take_prefixed(name.options, "file");
    const auto has_key = [&](std::string_view key) {
      return std::ranges::any_of(below, [&](const config::KeyValue& entry) { return entry.key == key; });
    };
    const auto lower = config::take(below, "driver");
    const auto protocol = lower ? protocol_by_driver(*lower) : TRY(protocol_of(name.filename));
    if (protocol && protocol != Protocol::File) {
      auto node = TRY(open_remote(*protocol, name.filename, std::move(below), flags));
      if (driver == nullptr && protocol == Protocol::Null) driver = &raw_driver();
      if (driver == nullptr) driver = &probe_format(*node, name.filename);
      return node;
    }
    if (!protocol) {
      below.push_back({"driver", *lower});
      if (driver == nullptr) driver = &raw_driver();
      const ImageName nested{.filename = "", .format = "", .options = std::move(below)};
      return TRY(open_node(nested, flags));
    }
    OpenFlags file_flags = flags;
    if (has_key("filename")) {
      if (!name.filename.empty()) return fail(ErrorKind::Invalid, "The file name is given twice");
      name.filename = *config::take(below, "filename");
    }
    if (name.filename.empty())
      return fail(ErrorKind::Invalid, "The 'file' block driver requires a file name");
    if (const auto given = config::take(below, "locking"); given && *given == "off") locking_ = false;
    if (const auto given = config::take(below, "aio")) {
      const auto engine = parse_file_engine(*given);
      if (!engine) return failf(ErrorKind::Invalid, "Parameter 'aio' does not accept value '{}'", *given);
      file_flags.engine = *engine;
    }
    if (const auto given = config::take(below, "cache.direct"); given && *given == "on")
      file_flags.cache = CacheMode::None;
    if (!below.empty())
      return failf(ErrorKind::Invalid, "Block protocol 'file' doesn't support the option '{}'",
                   below.front().key);
    const std::string local = local_name(name.filename);
    auto file = TRY(FileNode::open(local, file_flags));
    if (lower == "file" && file->is_device())
      return failf(ErrorKind::Invalid, "'file' driver requires '{}' to be a regular file", local);
    if (lower == "host_device" && !file->is_device())
      return failf(ErrorKind::Invalid,
                   "'host_device' driver requires '{}' to be either a character or block device", local);
    if (driver == nullptr) driver = &probe_format(*file, local);
    if (locking_) TRY(file->lock(locks_for(driver == &raw_driver(), file_flags)));
    return file;
  }

  Result<> open_backing(ImageNode& image, OpenFlags flags, config::KeyValues options) {
    const BackingReference reference = image.backing_reference();
    if (reference.file.empty() && options.empty()) return {};
    if (++depth_ > kLongestChain)
      return failf(ErrorKind::Invalid, "Backing chain is longer than {} images", kLongestChain);
    flags.writable = false;
    flags.exclusive_resize = false;
    ImageName name;
    name.format = reference.format;
    name.options = std::move(options);
    if (name.options.empty()) name.filename = backing_path(image.filename(), reference.file);
    if (!name.filename.empty() && !seen_.insert(name.filename).second)
      return failf(ErrorKind::Invalid, "Backing file '{}' creates an infinite loop.", name.filename);
    auto backing = open(name, flags);
    if (!backing) return std::unexpected(std::move(backing).error().in("Could not open backing file"));
    image.set_backing(*std::move(backing));
    return {};
  }

  std::set<std::string> seen_;
  unsigned depth_ = 0;
  bool locking_ = true;
};

}  // namespace

Result<ImageName> image_name_from_options(std::string_view text) {
  ImageName out;
  out.options = TRY(config::split_options(text, ""));
  for (const config::KeyValue& entry : out.options) {
    if (!entry.value) return failf(ErrorKind::Invalid, "Expected '=' after parameter '{}'", entry.key);
  }
  return out;
}

Result<std::unique_ptr<ImageNode>> open_image(const ImageName& name, const OpenFlags& flags) {
  Opener opener;
  return opener.open(name, flags);
}

std::string backing_path(const std::string& image, const std::string& reference) {
  if (reference.starts_with("/") || reference.starts_with("json:") || has_protocol(reference))
    return reference;
  const size_t slash = image.rfind('/');
  return slash == std::string::npos ? reference : image.substr(0, slash + 1) + reference;
}

Result<Preallocation> file_preallocation(const CreateValues& values) {
  const std::string word = values.text("preallocation", "off");
  const auto mode = parse_preallocation(word);
  if (!mode) return failf(ErrorKind::Invalid, "invalid parameter value: {}", word);
  if (*mode == Preallocation::Metadata)
    return fail(ErrorKind::Unsupported, "Unsupported preallocation mode: metadata");
  return *mode;
}

Result<std::unique_ptr<BlockNode>> create_file(const std::string& filename, const CreateValues& values) {
  TRY(file_preallocation(values));  // whether or not the format has a use for it
  if (const Protocol protocol = TRY(protocol_of(filename)); protocol != Protocol::File) {
    // What is there already is written.
    OpenFlags flags;
    flags.writable = true;
    flags.cache = CacheMode::Unsafe;
    return TRY(open_remote(protocol, filename, {}, flags));
  }
  const std::string local = local_name(filename);
  const FileNode::CreateHints hints{.no_copy_on_write = values.flag("nocow", false),
                                    .extent_size_hint = values.number("extent_size_hint", 1 << 20)};
  auto file = FileNode::create(local, hints);
  if (file) return std::move(*file);
  if (file.error().kind() == ErrorKind::Busy) return std::unexpected(file.error());
  return std::unexpected(std::move(file).error().in(fmt::format("Could not create '{}'", local)));
}

Result<> create_file_with(const std::string& filename, const CreateValues& values,
                          const std::function<Result<>(BlockNode&)>& fill) {
  const auto file = TRY(create_file(filename, values));
  auto filled = fill(*file);
  if (!filled) remove_created_file(filename);
  return filled;
}

void remove_created_file(const std::string& filename) {
  if (has_protocol(filename) && !filename.starts_with("file:")) return;
  const std::string local = local_name(filename);
  struct stat about {};
  if (::lstat(local.c_str(), &about) == 0 && S_ISREG(about.st_mode)) ::unlink(local.c_str());
}

Result<std::unique_ptr<BlockNode>> open_file(const std::string& filename, const OpenFlags& flags) {
  if (const Protocol protocol = TRY(protocol_of(filename)); protocol != Protocol::File)
    return TRY(open_remote(protocol, filename, {}, flags));
  auto file = TRY(FileNode::open(local_name(filename), flags));
  TRY(file->lock(locks_for(false, flags)));
  return file;
}

std::span<const CreateOption> protocol_create_options(const std::string& filename) {
  const auto protocol = protocol_of(filename);
  if (protocol && *protocol != Protocol::File) return kRemoteOptions;
  return kFileOptions;
}

}  // namespace rhea::block
