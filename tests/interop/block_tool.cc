// The block layer from a script: what qemu-io does to an image, through our formats.
//
//     block_tool [-U] COMMAND FORMAT FILE [ARGUMENT...]
//     dump OUT          the whole content into a file
//     load IN           writes all of IN but its zeros, the last part first
//     stream IN         the same in order, as convert does (reserve, then write)
//     write OFFSET LENGTH BYTE
//     zero OFFSET LENGTH
//     churn SEED        writes and zeroes at random until killed; prints each as "OFFSET LENGTH BYTE" before
//     it is
//                       begun, and "flush" after each flush
//     check             messages, then corruptions and leaks
//     repair            the same, repairing all
//     map               one extent a line
//     resize SIZE
//     backing           the reference in the header
// FORMAT "-" probes.
#include <fmt/core.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/failf.h"
#include "base/sizes.h"
#include "block/facets.h"
#include "block/open.h"

namespace rhea::block {
namespace {

constexpr uint64_t kStep = 256 * 1024 + 512;  // meets no cluster size

using Words = std::vector<std::string>;

Result<> dump(ImageNode& image, const std::string& name) {
  std::ofstream out(name, std::ios::binary);
  std::vector<uint8_t> buffer;
  for (uint64_t at = 0; at < image.size(); at += buffer.size()) {
    buffer.resize(static_cast<size_t>(std::min(kStep, image.size() - at)));
    TRY(image.read(at, buffer));
    // SAFETY: bytes written as characters.
    out.write(reinterpret_cast<const char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
  }
  out.close();
  return out ? Result<>() : fail(ErrorKind::Io, "writing the output failed");
}

Result<> load(ImageNode& image, const std::string& name, bool in_order) {
  std::ifstream in(name, std::ios::binary | std::ios::ate);
  const auto size = static_cast<uint64_t>(in.tellg());
  // Where units are written once, whole ones.
  const auto* units = facet<CompressedWriter>(image);
  const uint64_t step = units != nullptr ? 2 * units->compression_unit() : kStep;
  const uint64_t steps = (size + step - 1) / step;
  auto* reserving = facet<ReservingWriter>(image);
  std::vector<uint8_t> buffer;
  for (uint64_t i = 0; i < steps; ++i) {
    const uint64_t at = (in_order ? i : steps - 1 - i) * step;
    buffer.resize(static_cast<size_t>(std::min(step, size - at)));
    in.seekg(static_cast<std::streamoff>(at));
    // SAFETY: characters read into bytes.
    in.read(reinterpret_cast<char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
    if (!in) return fail(ErrorKind::Io, "reading the input failed");
    if (is_zero(buffer)) continue;
    if (in_order && reserving != nullptr) TRY(reserving->reserve(at, buffer.size()));
    TRY(image.write(at, buffer));
  }
  return {};
}

Result<> check(ImageNode& image, Repair repair) {
  auto* checker = facet<Checker>(image);
  if (checker == nullptr) return fail(ErrorKind::Unsupported, "This image format does not support checks");
  const CheckReport report = TRY(checker->check(repair));
  for (const std::string& line : report.messages) fmt::print("{}\n", line);
  fmt::print("corruptions {} fixed {} leaks {} fixed {} errors {} end {}\n", report.corruptions,
             report.corruptions_fixed, report.leaks, report.leaks_fixed, report.check_errors,
             report.image_end_offset);
  fmt::print("clusters {} allocated {} compressed {} fragmented {}\n", report.total_clusters,
             report.allocated_clusters, report.compressed_clusters, report.fragmented_clusters);
  return {};
}

Result<> map(ImageNode& image) {
  for (uint64_t at = 0; at < image.size();) {
    const Extent extent = TRY(image.extent(at, image.size() - at));
    if (extent.length == 0) return failf(ErrorKind::Invalid, "an extent of no length at {}", at);
    fmt::print("{} {} allocated={} zero={} data={} compressed={} at={}\n", at, extent.length,
               extent.allocated, extent.zero, extent.data, extent.compressed,
               extent.file != nullptr ? std::to_string(extent.file_offset) : "-");
    at += extent.length;
  }
  return {};
}

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

Result<> churn(ImageNode& image, uint64_t seed) {
  std::mt19937_64 random(seed);
  const uint64_t sectors = image.size() / 512;
  while (true) {
    for (uint64_t left = random() % 8; left != 0; --left) {
      const uint64_t first = random() % sectors;
      const uint64_t most = random() % 4 == 0 ? 600 : 20;
      const uint64_t length = std::min(random() % most + 1, sectors - first) * 512;
      const auto byte = static_cast<uint8_t>(random() % 4 == 0 ? 0 : random() % 255 + 1);
      say(fmt::format("{} {} {}", first * 512, length, byte));
      if (byte == 0) {
        const auto mode = random() % 2 == 0 ? ZeroMode::MayUnmap : ZeroMode::KeepAllocated;
        TRY(image.write_zeroes(first * 512, length, mode));
      } else {
        TRY(image.write(first * 512, std::vector<uint8_t>(length, byte)));
      }
    }
    TRY(image.flush());
    say("flush");
  }
}

Result<> run(ImageNode& image, const std::string& command, const Words& arguments) {
  const auto number = [&](size_t i) { return parse_size(i < arguments.size() ? arguments[i] : ""); };
  if (command == "dump") return dump(image, arguments.at(0));
  if (command == "load" || command == "stream") return load(image, arguments.at(0), command == "stream");
  if (command == "churn") return churn(image, TRY(number(0)));
  if (command == "write") {
    const std::vector<uint8_t> data(TRY(number(1)), static_cast<uint8_t>(TRY(number(2))));
    return image.write(TRY(number(0)), data);
  }
  if (command == "zero") return image.write_zeroes(TRY(number(0)), TRY(number(1)), ZeroMode::MayUnmap);
  if (command == "check" || command == "repair")
    return check(image, command == "repair" ? Repair::All : Repair::None);
  if (command == "map") return map(image);
  if (command == "resize") return image.resize(TRY(number(0)), Preallocation::Off);
  if (command == "backing") {
    const BackingReference reference = image.backing_reference();
    fmt::print("{} {}\n", reference.file, reference.format);
    return {};
  }
  return failf(ErrorKind::Invalid, "no command '{}'", command);
}

Result<> work(Words words) {
  OpenFlags flags;
  if (!words.empty() && words[0] == "-U") {
    flags.force_share = true;
    words.erase(words.begin());
  }
  if (words.size() < 3) return fail(ErrorKind::Invalid, "block_tool COMMAND FORMAT FILE [ARGUMENT...]");
  const std::string command = words[0];
  const bool writes = command == "load" || command == "stream" || command == "write" || command == "zero" ||
                      command == "churn" || command == "resize" || command == "repair";
  flags.writable = writes;
  flags.for_check = command == "check" || command == "repair";
  ImageName name;
  name.format = words[1] == "-" ? "" : words[1];
  name.filename = words[2];
  const auto image = TRY(open_image(name, flags));
  words.erase(words.begin(), words.begin() + 3);
  TRY(run(*image, command, words));
  return writes ? image->close() : Result<>();
}

}  // namespace
}  // namespace rhea::block

int main(int argc, char** argv) {
  const auto done = rhea::block::work({argv + 1, argv + argc});
  if (done) return 0;
  fmt::print(stderr, "block_tool: {}\n", done.error().message());
  return 1;
}
