// What a user could do with an image that may be damaged, for tests and fuzz targets: none of it may crash,
// hang, or fail without words.
#pragma once

#include <vector>

#include "base/check.h"
#include "block/driver.h"
#include "block/facets.h"
#include "block/testing/memory_node.h"

namespace rhea::block {

inline constexpr uint64_t kExerciseWindow = 200 * 1024;

inline void read_and_map(ImageNode& image, uint64_t from, uint64_t to) {
  std::vector<uint8_t> buffer(static_cast<size_t>(to - from));
  if (const auto done = image.read(from, buffer); !done) CHECK(!done.error().message().empty());
  for (unsigned i = 0; i < 64 && from < to; ++i) {
    const auto extent = image.extent(from, to - from);
    if (!extent) break;
    CHECK(extent->length != 0 && extent->length <= to - from);
    from += extent->length;
  }
}

// True: it could be opened.
inline bool exercise(const FormatDriver& driver, const std::vector<uint8_t>& bytes, bool writable) {
  driver.probe(std::span(bytes).first(std::min<size_t>(bytes.size(), 2048)), "x");
  OpenRequest request;
  request.file = std::make_unique<MemoryNode>(bytes);
  request.filename = "image";
  request.flags.writable = writable;
  if (driver.name() == "luks") {
    request.flags.only_look = !writable;
    request.options.push_back({.key = "key-secret", .value = "exercise"});
  }
  const auto image = driver.open(request);
  if (!image) {
    CHECK(!image.error().message().empty());
    return false;
  }
  ImageNode& node = **image;
  const uint64_t size = node.size();
  (void)node.info();
  (void)node.backing_reference();
  const uint64_t window = std::min(size, kExerciseWindow);
  read_and_map(node, 0, window);
  read_and_map(node, size / 2, std::min(size, size / 2 + window));
  read_and_map(node, size - window, size);
  if (auto* checker = facet<Checker>(node)) {
    if (const auto report = checker->check(Repair::None); !report) CHECK(!report.error().message().empty());
  }
  if (writable && size != 0) {
    const std::vector<uint8_t> data(static_cast<size_t>(window), 0x5a);
    (void)node.write(0, data);
    (void)node.write(size - window, data);
    (void)node.write_zeroes(0, window, ZeroMode::MayUnmap);
    if (auto* checker = facet<Checker>(node)) (void)checker->check(Repair::All);
    (void)node.close();
  }
  return true;
}

}  // namespace rhea::block
