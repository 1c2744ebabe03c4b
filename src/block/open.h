// From what a user names an image by to a chain of open nodes: plain names, "file:name", json:{...} and
// option lists (--image-opts), with probing of the format and all backing images.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "block/driver.h"
#include "block/image.h"

namespace rhea::block {

struct ImageName {
  std::string filename;       // empty if `options` say it all
  std::string format;         // empty: probe
  config::KeyValues options;  // "driver", "file.filename", ...; as json: or --image-opts gave them
};

// `text` as --image-opts takes it.
Result<ImageName> image_name_from_options(std::string_view text);

// The caller adds "Could not open 'NAME'" as context.
Result<std::unique_ptr<ImageNode>> open_image(const ImageName& name, const OpenFlags& flags);

// The name of a backing image as seen from the image that names it: relative names are relative to its
// directory; names with a protocol and absolute ones stand as they are.
std::string backing_path(const std::string& image, const std::string& reference);

// What the file protocol's option `preallocation` says, which files without tables of their own go by.
Result<Preallocation> file_preallocation(const CreateValues& values);
// The protocol for files as `filename` names one: creates or empties it, opened for writing and locked.
Result<std::unique_ptr<BlockNode>> create_file(const std::string& filename, const CreateValues& values);
// The same, and what goes into it: a file that `fill` failed on is taken away again.
Result<> create_file_with(const std::string& filename, const CreateValues& values,
                          const std::function<Result<>(BlockNode&)>& fill);
// After a failure: takes the file away again that create_file() made. (Devices stay.)
void remove_created_file(const std::string& filename);
// An existing file, for extents and data files. No probing.
Result<std::unique_ptr<BlockNode>> open_file(const std::string& filename, const OpenFlags& flags);
// The options that the protocol of `filename` adds to those of a format.
std::span<const CreateOption> protocol_create_options(const std::string& filename);

}  // namespace rhea::block
