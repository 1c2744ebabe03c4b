#include "monitor/page_tables.h"

#include <fmt/format.h>

#include <functional>

#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::monitor {

namespace {

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kLarge = 0x80, kNx = uint64_t{1} << 63;
constexpr uint64_t kAddress = 0x000ffffffffff000;
constexpr unsigned kMostTables = 200'000;
constexpr size_t kMostText = size_t{16} << 20;

struct Page {
  uint64_t linear, size, entry;
  uint64_t rights;  // kWritable, kUser: of the whole path
};

// Walks all that is mapped, in order of addresses, until `visit` returns false.
class Walk {
 public:
  using Visit = std::function<bool(const Page&)>;
  Walk(cpu::Core& core, const Visit& visit) : core_(core), visit_(visit) {}

  // False: it was cut short.
  bool run() {
    const cpu::CpuState& s = core_.s;
    constexpr uint64_t kAll = kWritable | kUser;
    if (s.long_mode()) {
      unsigned levels = (s.cr4 & cpu::cr4::LA57) != 0 ? 5 : 4;
      return table(s.cr3 & kAddress, levels, 0, 9, 8, kAll, 512);
    }
    if ((s.cr4 & cpu::cr4::PAE) != 0) return pointers(s.cr3 & 0xffffffe0);
    return table(s.cr3 & 0xfffff000, 2, 0, 10, 4, kAll, 1024);
  }

 private:
  // The four pointers of PAE have no rights.
  bool pointers(uint64_t at) {
    for (uint64_t i = 0; i < 4; ++i) {
      uint64_t entry = core_.memory->load(at + i * 8, 8);
      if ((entry & kPresent) != 0 && !table(entry & kAddress, 2, i << 30, 9, 8, kWritable | kUser, 512))
        return false;
    }
    return true;
  }

  bool table(uint64_t at, unsigned level, uint64_t linear, unsigned bits, unsigned bytes, uint64_t rights,
             unsigned count) {
    if (++tables_ > kMostTables) return false;
    unsigned shift = 12 + bits * (level - 1);
    std::vector<uint8_t> raw(size_t{count} * bytes);
    if (!core_.memory->read(at, raw)) return true;
    for (unsigned i = 0; i < count; ++i) {
      uint64_t entry = 0;
      for (unsigned b = bytes; b-- > 0;) entry = entry << 8 | raw[size_t{i} * bytes + b];
      if ((entry & kPresent) == 0) continue;
      uint64_t here = linear | uint64_t{i} << shift;
      if (core_.s.long_mode()) here = canonical(here);
      uint64_t both = rights & entry;
      bool leaf = level == 1 || ((entry & kLarge) != 0 && level <= (bytes == 8 ? 3u : 2u));
      bool on = leaf ? visit_({here, uint64_t{1} << shift, entry, both})
                     : table(entry & kAddress, level - 1, here, bits, bytes, both, count);
      if (!on) return false;
    }
    return true;
  }

  uint64_t canonical(uint64_t linear) const {
    unsigned top = (core_.s.cr4 & cpu::cr4::LA57) != 0 ? 56 : 47;
    return (linear >> top & 1) != 0 ? linear | ~uint64_t{0} << top : linear;
  }

  cpu::Core& core_;
  const Visit& visit_;
  unsigned tables_ = 0;
};

bool paging(const cpu::Core& core) {
  return (core.s.cr0 & cpu::cr0::PG) != 0;
}

constexpr const char* kCut = "(too many page tables: the rest is not shown)\n";

}  // namespace

std::string list_pages(cpu::Core& core) {
  if (!paging(core)) return "PG disabled\n";
  std::string text;
  Walk::Visit visit = [&](const Page& page) {
    uint64_t e = page.entry;
    auto flag = [e](unsigned bit, char letter) { return (e >> bit & 1) != 0 ? letter : '-'; };
    uint64_t physical = e & kAddress & ~(page.size - 1);
    text += fmt::format("{:016x}: {:016x} {}{}{}{}{}{}{}{}{}\n", page.linear, physical,
                        (e & kNx) != 0 ? 'X' : '-', flag(8, 'G'), page.size > kPageSize ? 'P' : '-',
                        flag(6, 'D'), flag(5, 'A'), flag(4, 'C'), flag(3, 'T'), flag(2, 'U'), flag(1, 'W'));
    return text.size() < kMostText;
  };
  if (!Walk(core, visit).run()) text += kCut;
  return text;
}

std::string list_ranges(cpu::Core& core) {
  if (!paging(core)) return "PG disabled\n";
  std::string text;
  uint64_t begin = 0, end = 0, rights = 0;
  bool open = false;
  auto finish = [&] {
    if (!open) return;
    text += fmt::format("{:016x}-{:016x} {:016x} {}r{}\n", begin, end, end - begin,
                        (rights & kUser) != 0 ? 'u' : '-', (rights & kWritable) != 0 ? 'w' : '-');
    open = false;
  };
  Walk::Visit visit = [&](const Page& page) {
    if (!open || page.linear != end || page.rights != rights) {
      finish();
      open = true;
      begin = page.linear;
      rights = page.rights;
    }
    end = page.linear + page.size;
    return text.size() < kMostText;
  };
  bool whole = Walk(core, visit).run();
  finish();
  return whole ? text : text + kCut;
}

}  // namespace rhea::monitor
