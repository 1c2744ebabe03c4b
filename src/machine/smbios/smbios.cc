// See smbios.h. Section numbers are DSP0134 2.8.0's.
#include "machine/smbios/smbios.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/check.h"

namespace rhea::machine::smbios {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20, kGiB = uint64_t{1} << 30, kDimmMax = 16 * kGiB, k4G = 4 * kGiB;

enum Type : uint8_t {
  kSystem = 1,
  kChassis = 3,
  kProcessor = 4,
  kMemoryArray = 16,
  kMemoryDevice = 17,
  kArrayMapping = 19,
  kBoot = 32,
  kEnd = 127
};

// One structure (6.1.2): a formatted area, then its strings, then a null.
class Structure {
 public:
  Structure(std::vector<uint8_t>& out, Type type, uint16_t handle) : out_(out), start_(out.size()) {
    u8(type);
    u8(0);
    u16(handle);
  }
  ~Structure() {
    CHECK(out_.size() - start_ < 256);
    out_[start_ + 1] = static_cast<uint8_t>(out_.size() - start_);
    out_.insert(out_.end(), strings_.begin(), strings_.end());
    if (strings_.empty()) out_.push_back(0);
    out_.push_back(0);
  }
  Structure(const Structure&) = delete;
  Structure& operator=(const Structure&) = delete;

  void u8(uint64_t v) { le(v, 1); }
  void u16(uint64_t v) { le(v, 2); }
  void u32(uint64_t v) { le(v, 4); }
  void u64(uint64_t v) { le(v, 8); }
  void text(std::string_view value) {
    if (value.empty()) {
      u8(0);
      return;
    }
    strings_.append(value);
    strings_.push_back('\0');
    u8(++count_);
  }

 private:
  void le(uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) out_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }

  std::vector<uint8_t>& out_;
  size_t start_;
  std::string strings_;
  uint8_t count_ = 0;
};

// 7.2. The first three fields of a UUID are little-endian (7.2.1).
void system(std::vector<uint8_t>& out, const Config& config) {
  Structure s(out, kSystem, 0x100);
  s.text("Rhea");
  s.text(config.product);
  s.text(config.machine);
  s.text("");
  for (unsigned i : {3u, 2u, 1u, 0u, 5u, 4u, 7u, 6u, 8u, 9u, 10u, 11u, 12u, 13u, 14u, 15u})
    s.u8(config.uuid[i]);
  s.u8(6);  // wake-up: power switch
  s.text("");
  s.text("");
}

// 7.4
void chassis(std::vector<uint8_t>& out, const Config& config) {
  Structure s(out, kChassis, 0x300);
  s.text("Rhea");
  s.u8(1);  // other
  s.text(config.machine);
  s.text("");
  s.text("");
  for (int i = 0; i < 3; i++) s.u8(3);  // boot-up, power supply, thermal: safe
  s.u8(2);                              // security: unknown
  s.u32(0);
  s.u8(0);
  s.u8(0);
  s.u8(0);
  s.u8(0);
  s.text("");
}

// 7.5
void processor(std::vector<uint8_t>& out, const Config& config, unsigned socket) {
  Structure s(out, kProcessor, static_cast<uint16_t>(0x400 + socket));
  s.text(fmt::format("CPU {}", socket));
  s.u8(3);  // central processor
  s.u8(1);  // family: other
  s.text("Rhea");
  s.u32(config.cpuid_signature);
  s.u32(config.cpuid_features);
  s.text(config.cpu_model);
  s.u8(0);
  s.u16(0);
  s.u16(2000);
  s.u16(2000);
  s.u8(0x41);                                 // populated, enabled
  s.u8(1);                                    // upgrade: other
  for (int i = 0; i < 3; i++) s.u16(0xffff);  // no cache structures
  s.text("");
  s.text("");
  s.text("");
  unsigned threads = config.cores_per_socket * config.threads_per_core;
  auto small = [](unsigned n) { return n > 255 ? 255u : n; };
  s.u8(small(config.cores_per_socket));
  s.u8(small(config.cores_per_socket));
  s.u8(small(threads));
  s.u16(1 << 1);  // characteristics: unknown
  s.u16(1);
  s.u16(config.cores_per_socket);
  s.u16(config.cores_per_socket);
  s.u16(threads);
}

// 7.17
void memory_array(std::vector<uint8_t>& out, const Config& config, unsigned dimms) {
  Structure s(out, kMemoryArray, 0x1000);
  s.u8(1);  // location: other
  s.u8(3);  // system memory
  s.u8(6);  // multi-bit ECC
  uint64_t kib = config.ram_bytes / 1024;
  s.u32(kib < 0x80000000 ? kib : 0x80000000);
  s.u16(0xfffe);
  s.u16(dimms);
  s.u64(kib < 0x80000000 ? 0 : config.ram_bytes);
}

// 7.18
void memory_device(std::vector<uint8_t>& out, unsigned index, uint64_t bytes) {
  Structure s(out, kMemoryDevice, static_cast<uint16_t>(0x1100 + index));
  s.u16(0x1000);
  s.u16(0xfffe);
  s.u16(0xffff);
  s.u16(0xffff);
  uint64_t mib = bytes / kMiB;
  s.u16(mib < 0x7fff ? mib : 0x7fff);
  s.u8(9);  // DIMM
  s.u8(0);
  s.text(fmt::format("DIMM {}", index));
  s.text("");
  s.u8(7);        // RAM
  s.u16(1 << 1);  // other
  s.u16(0);
  s.text("Rhea");
  s.text("");
  s.text("");
  s.text("");
  s.u8(0);
  s.u32(mib < 0x7fff ? 0 : mib);
  s.u16(0);
  s.u16(0);
  s.u16(0);
  s.u16(0);
}

// 7.20
void array_mapping(std::vector<uint8_t>& out, uint16_t handle, uint64_t start, uint64_t size) {
  Structure s(out, kArrayMapping, handle);
  uint64_t first = start / 1024, last = (start + size - 1) / 1024;
  bool narrow = last < 0xffffffff;
  s.u32(narrow ? first : 0xffffffff);
  s.u32(narrow ? last : 0xffffffff);
  s.u16(0x1000);
  s.u8(1);
  s.u64(narrow ? 0 : start);
  s.u64(narrow ? 0 : start + size - 1);
}

void boot(std::vector<uint8_t>& out) {
  Structure s(out, kBoot, 0x2000);
  for (int i = 0; i < 6; i++) s.u8(0);
  s.u8(0);  // no errors detected
}

// 5.2.1: the 32-bit entry point; firmware fills in the tables' address and both checksums.
std::vector<uint8_t> anchor(const std::vector<uint8_t>& tables, unsigned count, unsigned largest) {
  std::vector<uint8_t> a(31);
  auto put = [&](size_t at, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) a[at + i] = static_cast<uint8_t>(v >> (8 * i));
  };
  std::copy_n("_SM_", 4, a.begin());
  a[5] = 31;
  a[6] = 2;
  a[7] = 8;
  put(8, largest, 2);
  std::copy_n("_DMI_", 5, a.begin() + 16);
  put(22, tables.size(), 2);
  put(28, count, 2);
  a[30] = 0x28;
  return a;
}

}  // namespace

Blobs build(const Config& config) {
  Blobs blobs;
  std::vector<uint8_t>& out = blobs.tables;
  unsigned count = 0, largest = 0;
  auto did = [&, before = size_t{0}]() mutable {
    count++;
    largest = std::max(largest, static_cast<unsigned>(out.size() - before));
    before = out.size();
  };
  system(out, config), did();
  chassis(out, config), did();
  for (unsigned i = 0; i < config.sockets; i++) processor(out, config, i), did();
  unsigned dimms = static_cast<unsigned>(std::max<uint64_t>(1, (config.ram_bytes + kDimmMax - 1) / kDimmMax));
  dimms = std::min(dimms, 255u);
  memory_array(out, config, dimms), did();
  for (unsigned i = 0; i < dimms; i++) {
    uint64_t left = config.ram_bytes - i * kDimmMax;
    memory_device(out, i, i + 1 == dimms ? left : kDimmMax), did();
  }
  array_mapping(out, 0x1300, 0, config.low_ram_end), did();
  if (config.ram_bytes > config.low_ram_end) {
    array_mapping(out, 0x1301, k4G, config.ram_bytes - config.low_ram_end), did();
  }
  boot(out), did();
  { Structure end(out, kEnd, 0x7f00); }
  did();
  CHECK(out.size() <= 0xffff);
  blobs.anchor = anchor(out, count, largest);
  return blobs;
}

}  // namespace rhea::machine::smbios
