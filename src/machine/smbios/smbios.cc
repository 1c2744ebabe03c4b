// See smbios.h. Section numbers are DSP0134 2.8.0's.
#include "machine/smbios/smbios.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "base/check.h"

namespace rhea::machine::smbios {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20, kGiB = uint64_t{1} << 30, kDimmMax = 16 * kGiB, k4G = 4 * kGiB;

enum Type : uint8_t {
  kBios = 0,
  kSystem = 1,
  kBoard = 2,
  kChassis = 3,
  kProcessor = 4,
  kOemStrings = 11,
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
  void text(const std::optional<std::string>& value, std::string_view otherwise) {
    text(value ? std::string_view(*value) : otherwise);
  }
  void text(std::string_view value) {
    if (value.empty()) {
      u8(0);
      return;
    }
    add_string(value);
    u8(count_);
  }
  void add_string(std::string_view value) {
    strings_.append(value);
    strings_.push_back('\0');
    ++count_;
  }
  void count(uint8_t strings) { u8(strings); }

 private:
  void le(uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) out_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }

  std::vector<uint8_t>& out_;
  size_t start_;
  std::string strings_;
  uint8_t count_ = 0;
};

// 7.1
void bios(std::vector<uint8_t>& out, const Overrides::Bios& o) {
  Structure s(out, kBios, 0);
  s.text(o.vendor, "Rhea");
  s.text(o.version, "");
  s.u16(0xe800);  // segment
  s.text(o.date, "");
  s.u8(0);                                                 // ROM size: 64 KiB
  s.u64(8);                                                // characteristics: not supported
  s.u8(0);                                                 // extension bytes: none of the first, …
  s.u8(static_cast<uint8_t>(0x14 | (o.uefi ? 0x08 : 0)));  // … targeted content, virtual machine, UEFI
  s.u8(o.release ? (*o.release)[0] : 0);
  s.u8(o.release ? (*o.release)[1] : 0);
  s.u8(0xff);  // no embedded controller
  s.u8(0xff);
}

// 7.2. The first three fields of a UUID are little-endian (7.2.1).
void system(std::vector<uint8_t>& out, const Config& config) {
  const Overrides::System& o = config.overrides.system;
  Structure s(out, kSystem, 0x100);
  s.text(o.manufacturer, "Rhea");
  s.text(o.product, config.product);
  s.text(o.version, config.machine);
  s.text(o.serial, "");
  const std::array<uint8_t, 16>& uuid = o.uuid ? *o.uuid : config.uuid;
  for (unsigned i : {3u, 2u, 1u, 0u, 5u, 4u, 7u, 6u, 8u, 9u, 10u, 11u, 12u, 13u, 14u, 15u}) s.u8(uuid[i]);
  s.u8(6);  // wake-up: power switch
  s.text(o.sku, "");
  s.text(o.family, "");
}

// 7.3
void board(std::vector<uint8_t>& out, const Config& config, const Overrides::Board& o) {
  Structure s(out, kBoard, 0x200);
  s.text(o.manufacturer, "Rhea");
  s.text(o.product, config.product);
  s.text(o.version, config.machine);
  s.text(o.serial, "");
  s.text(o.asset, "");
  s.u8(1);  // features: hosting board
  s.text(o.location, "");
  s.u16(0x300);  // in the chassis
  s.u8(0x0a);    // motherboard
  s.u8(0);
}

// 7.4
void chassis(std::vector<uint8_t>& out, const Config& config) {
  const Overrides::Chassis& o = config.overrides.chassis;
  Structure s(out, kChassis, 0x300);
  s.text(o.manufacturer, "Rhea");
  s.u8(1);  // other
  s.text(o.version, config.machine);
  s.text(o.serial, "");
  s.text(o.asset, "");
  for (int i = 0; i < 3; i++) s.u8(3);  // boot-up, power supply, thermal: safe
  s.u8(2);                              // security: unknown
  s.u32(0);
  s.u8(0);
  s.u8(0);
  s.u8(0);
  s.u8(0);
  s.text(o.sku, "");
}

// 7.12: the strings are all there is.
void oem_strings(std::vector<uint8_t>& out, const std::vector<std::string>& strings) {
  Structure s(out, kOemStrings, 0xe00);
  s.count(static_cast<uint8_t>(strings.size()));
  for (const std::string& text : strings) s.add_string(text);
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

Result<> check_structure(const std::vector<uint8_t>& table) {
  if (table.size() < 6) return fail(ErrorKind::Invalid, "shorter than the smallest structure");
  const size_t formatted = table[1];
  if (formatted < 4 || formatted + 2 > table.size())
    return fail(ErrorKind::Invalid, "its length byte is wrong");
  if (table[table.size() - 1] != 0 || table[table.size() - 2] != 0)
    return fail(ErrorKind::Invalid, "its strings do not end with two zero bytes");
  for (size_t i = formatted; i + 2 < table.size(); i++) {
    if (table[i] == 0 && table[i + 1] == 0)
      return fail(ErrorKind::Invalid, "there is something behind its end");
  }
  return {};
}

namespace {

class Tables {
 public:
  explicit Tables(const Config& config) : config_(config) {
    for (const auto& table : config.overrides.tables) replaced_.insert(table[0]);
  }

  Blobs build() {
    const Overrides& o = config_.overrides;
    if (o.bios) add(kBios, [&] { bios(out_, *o.bios); });
    add(kSystem, [&] { system(out_, config_); });
    if (o.board) add(kBoard, [&] { board(out_, config_, *o.board); });
    add(kChassis, [&] { chassis(out_, config_); });
    for (unsigned i = 0; i < config_.sockets; i++) add(kProcessor, [&] { processor(out_, config_, i); });
    if (!o.oem_strings.empty()) add(kOemStrings, [&] { oem_strings(out_, o.oem_strings); });
    memory();
    add(kBoot, [&] { boot(out_); });
    for (const auto& table : o.tables) {
      out_.insert(out_.end(), table.begin(), table.end());
      added();
    }
    { Structure end(out_, kEnd, 0x7f00); }
    added();
    Blobs blobs;
    blobs.anchor = anchor(out_, count_, largest_);
    blobs.tables = std::move(out_);
    return blobs;
  }

 private:
  template <class Make>
  void add(Type type, Make make) {
    if (replaced_.contains(type)) return;
    make();
    added();
  }
  void added() {
    count_++;
    largest_ = std::max(largest_, static_cast<unsigned>(out_.size() - before_));
    before_ = out_.size();
  }

  void memory() {
    const uint64_t ram = config_.ram_bytes;
    auto dimms = static_cast<unsigned>(std::clamp<uint64_t>((ram + kDimmMax - 1) / kDimmMax, 1, 255));
    add(kMemoryArray, [&] { memory_array(out_, config_, dimms); });
    for (unsigned i = 0; i < dimms; i++) {
      const uint64_t left = ram - i * kDimmMax;
      add(kMemoryDevice, [&] { memory_device(out_, i, i + 1 == dimms ? left : kDimmMax); });
    }
    add(kArrayMapping, [&] { array_mapping(out_, 0x1300, 0, config_.low_ram_end); });
    if (ram > config_.low_ram_end)
      add(kArrayMapping, [&] { array_mapping(out_, 0x1301, k4G, ram - config_.low_ram_end); });
  }

  const Config& config_;
  std::set<uint8_t> replaced_;
  std::vector<uint8_t> out_;
  unsigned count_ = 0, largest_ = 0;
  size_t before_ = 0;
};

}  // namespace

Blobs build(const Config& config) {
  return Tables(config).build();
}

}  // namespace rhea::machine::smbios
