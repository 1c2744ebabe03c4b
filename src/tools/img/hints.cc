#include "tools/img/hints.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/log.h"
#include "block/driver.h"
#include "tools/img/command.h"

namespace rhea::img {
namespace {

struct Hint {
  std::string_view words;  // of the message
  std::string_view text;
};

constexpr std::string_view kCacheModes = "cache modes: none, writeback, writethrough, directsync, unsafe";

constexpr std::array kHints = {
    Hint{"Invalid cache mode", kCacheModes},
    Hint{"Invalid cache option", kCacheModes},
    Hint{"Invalid source cache option", kCacheModes},
    Hint{"Parameter 'preallocation' does not accept",
         "preallocation: off, falloc, full, and for qcow2 and vdi also metadata"},
    Hint{"Invalid preallocation mode", "preallocation: off, metadata, falloc, full"},
    Hint{"Parameter 'version' does not accept", "compat: 0.10 (or v2) and 1.1 (or v3)"},
    Hint{"Parameter 'compression-type' does not accept", "compression_type: zlib, zstd"},
    Hint{"Parameter 'format' does not accept", "encrypt.format: luks, aes"},
    Hint{"Parameter 'subformat' does not accept", "subformat: dynamic, fixed"},
    Hint{"Parameter 'cipher-alg' does not accept", "cipher-alg: aes-128, aes-192, aes-256"},
    Hint{"Parameter 'cipher-mode' does not accept", "cipher-mode: cbc, xts"},
    Hint{"Parameter 'ivgen-alg' does not accept", "ivgen-alg: plain, plain64, essiv"},
    Hint{"Parameter 'hash-alg' does not accept", "hash-alg: sha1, sha224, sha256, sha384, sha512, ripemd160"},
    Hint{"Parameter 'qom-type' does not accept", "objects: secret, tls-creds-x509, tls-creds-psk"},
    Hint{"Parameter 'aio' does not accept", "aio: threads, native, io_uring"},
    Hint{"Refcount width must be", "refcount_bits: 1, 2, 4, 8, 16, 32, 64"},
    Hint{"too large for file format 'vpc'", "a VHD image has at most 2040 GiB"},
    Hint{"Invalid parameter '", "-o help, with the format's name, lists the options there are"},
    Hint{"Could not apply snapshot", "snapshot -l lists the snapshots there are"},
    Hint{"Could not delete snapshot", "snapshot -l lists the snapshots there are"},
    Hint{"Can't find snapshot", "snapshot -l lists the snapshots there are"},
    Hint{"Dirty bitmap '", "info lists the bitmaps there are"},
    Hint{"invalid parameter value:", "-o help, with the format's name, lists the values there are"},
    Hint{"Image creation needs a size", "create -f qcow2 disk.qcow2 20G: the name, then the size"},
    Hint{"Backing file specified without backing format", "-F FMT tells it"},
    Hint{"backing format must be specified", "-F FMT tells it"},
    Hint{"requires explicit backing format", "-F FMT tells it"},
    Hint{"Parameter 'size' expects", "SIZE, +SIZE or -SIZE, in bytes or with k, M, G, T, P or E"},
    Hint{"Failed to get \"write\" lock", "somebody uses the image: a running guest, or this command itself"},
    Hint{"Is another process using the image", "-U reads an image that is in use; what it shows may change"},
};

std::string known_formats() {
  std::vector<std::string_view> names;
  for (const block::FormatDriver* driver : block::formats()) names.push_back(driver->name());
  std::ranges::sort(names);
  std::string out = "formats:";
  for (const std::string_view name : names) out += fmt::format(" {}", name);
  return out;
}

std::string known_commands() {
  std::string out = "commands:";
  for (const Command& command : commands()) out += fmt::format(" {}", command.name);
  return out;
}

}  // namespace

std::string hint_for(std::string_view message) {
  const auto has = [message](std::string_view words) {
    return message.find(words) != std::string_view::npos;
  };
  if (program_name() == "qemu-img") return "";
  if (has("Unknown file format") || has("Invalid format name") || has("Unknown driver"))
    return known_formats();
  if (message.starts_with("Command not found")) return known_commands();
  const auto found = std::ranges::find_if(kHints, [&](const Hint& hint) { return has(hint.words); });
  return found == kHints.end() ? "" : std::string(found->text);
}

}  // namespace rhea::img
