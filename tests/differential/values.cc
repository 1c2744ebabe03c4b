#include "values.h"

#include <cstring>
#include <iterator>
#include <memory>

namespace rhea::differential {

namespace {

constexpr uint64_t kEdges[] = {0,
                               1,
                               2,
                               0x7f,
                               0x80,
                               0xff,
                               0x7fff,
                               0x8000,
                               0xffff,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               0x7fffffffffffffff,
                               0x8000000000000000,
                               ~uint64_t{0},
                               0x5555555555555555,
                               0x0123456789abcdef,
                               31,
                               32,
                               33,
                               63,
                               64,
                               65,
                               0xfffffffffffffff0};

// Bit patterns that floating-point instructions treat specially, by width.
constexpr uint32_t kFloats[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                0x7fc00000, 0x7f800001, 0xffc00000, 1,          0x80000001, 0x007fffff,
                                0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x40490fdb,
                                0x33800000, 0x477fe000, 0x477ff000};
constexpr uint64_t kDoubles[] = {0,
                                 0x8000000000000000,
                                 0x3ff0000000000000,
                                 0xbff0000000000000,
                                 0x7ff0000000000000,
                                 0xfff0000000000000,
                                 0x7ff8000000000000,
                                 0x7ff0000000000001,
                                 1,
                                 0x000fffffffffffff,
                                 0x0010000000000000,
                                 0x7fefffffffffffff,
                                 0x41e0000000000000,
                                 0xc1e0000000000000,
                                 0x43e0000000000000,
                                 0x400921fb54442d18,
                                 0x3ca0000000000000,
                                 0x47efffffe0000000};

void fill_bytes(Random& r, uint8_t* to, unsigned bytes) {
  for (unsigned i = 0; i + 8 <= bytes; i += 8) {
    uint64_t v = r.next();
    switch (r.below(6)) {
      case 0:
        v = kFloats[r.below(std::size(kFloats))] | uint64_t{kFloats[r.below(std::size(kFloats))]} << 32;
        break;
      case 1: v = kDoubles[r.below(std::size(kDoubles))]; break;
      case 2: v = kEdges[r.below(std::size(kEdges))]; break;
      default: break;
    }
    std::memcpy(to + i, &v, 8);
  }
}

// What windows are cut from: making each anew would take longer than running its case.
constexpr unsigned kPoolBytes = 1 << 20;

const uint8_t* pool() {
  static const std::unique_ptr<uint8_t[]> bytes = [] {
    auto p = std::make_unique<uint8_t[]>(kPoolBytes);
    Random r(0);
    fill_bytes(r, p.get(), kPoolBytes);
    return p;
  }();
  return bytes.get();
}

void copy_from_pool(Random& r, uint8_t* to, unsigned bytes) {
  std::memcpy(to, pool() + r.below((kPoolBytes - bytes) / 16) * 16, bytes);
}

constexpr uint16_t kSelectors[] = {0,
                                   kUserCode32,
                                   kUserData,
                                   kUserCode64,
                                   kPerCpu,
                                   ldt::kCode16,
                                   ldt::kData16,
                                   ldt::kStack16,
                                   ldt::kCode32,
                                   ldt::kData32,
                                   ldt::kStack32,
                                   ldt::kReadOnly32,
                                   ldt::kExecuteOnly32,
                                   ldt::kAbsentData,
                                   ldt::kAbsentCode,
                                   ldt::kDown16,
                                   ldt::kEmpty,
                                   ldt::kFlat32,
                                   ldt::kLimit + 8,
                                   0x10,
                                   0x18,
                                   0x40};

}  // namespace

void fill_window(Random& r, Window& window) {
  copy_from_pool(r, window.data(), layout::kWindowBytes);
}

void make_xsave(Random& r, Registers& out, bool quiet) {
  uint8_t* x = out.xsave.data();
  out.xsave = {};
  copy_from_pool(r, x + 160, 256);
  copy_from_pool(r, x + 576, kXsave - 576);
  for (unsigned i = 0; i < 8; ++i) {
    uint8_t* st = x + 32 + 16 * i;
    fill_bytes(r, st, 8);
    auto exponent = static_cast<uint16_t>(r.next());
    if (!r.one_in(3))
      exponent = static_cast<uint16_t>(0x3fff + r.below(128) - 64 + (r.one_in(2) ? 0x8000u : 0));
    if (r.one_in(8)) exponent = r.one_in(2) ? 0x7fff : 0;
    std::memcpy(st + 8, &exponent, 2);
    if (!r.one_in(4)) st[7] |= 0x80;
  }
  // Exceptions are unmasked now and then.
  auto control = static_cast<uint16_t>(0x037f & ~(r.below(4) << 8));
  control = static_cast<uint16_t>(control | r.below(4) << 10 | (r.below(4) << 8));
  if (!quiet && r.one_in(8)) control = static_cast<uint16_t>(control & ~r.below(64));
  std::memcpy(x, &control, 2);
  auto status = static_cast<uint16_t>(r.below(8) << 11 | (r.next() & 0x4700));
  std::memcpy(x + 2, &status, 2);
  x[4] = r.one_in(2) ? 0xff : static_cast<uint8_t>(r.next());
  if (r.one_in(4)) x[4] = 0;
  uint32_t mxcsr = 0x1f80 | r.below(4) << 13 | r.below(64);
  if (r.one_in(4)) mxcsr |= 0x40;
  if (r.one_in(4)) mxcsr |= 0x8000;
  if (!quiet && r.one_in(8)) mxcsr &= ~(r.below(64) << 7) & ~0x3fu;
  std::memcpy(x + 24, &mxcsr, 4);
  uint64_t used = 0xe7;
  std::memcpy(x + 512, &used, 8);
}

uint64_t segment_base(uint16_t selector) {
  for (const ldt::Entry& e : ldt::kEntries) {
    if ((e.selector | 3) == (selector | 3)) return e.base;
  }
  return 0;
}

uint64_t data_base(Mode mode) {
  switch (mode) {
    case Mode::Segmented16: return segment_base(ldt::kData16);
    case Mode::Segmented32: return segment_base(ldt::kData32);
    default: return 0;
  }
}

uint64_t place(Random& r) {
  constexpr uint64_t w = layout::kWritable, end = w + layout::kWindowBytes;
  switch (r.below(12)) {
    case 0: return w + r.below(layout::kWindowBytes);
    case 1: return w + layout::kPage * (1 + r.below(2)) - r.below(70);  // around a page boundary
    case 2: return end - r.below(80);                                   // end of the window
    case 3: return layout::kReadOnly + r.below(layout::kPage) - 32;
    case 4: return w - r.below(80);
    case 5: return w + r.below(layout::kPage * 3) / 64 * 64 + 60 + r.below(8);  // across a line
    default: return w + r.below(layout::kPage * 3 - 64) / 64 * 64;
  }
}

uint64_t register_value(Random& r, Mode mode) {
  if (r.one_in(20)) return any_selector(r);
  switch (r.below(8)) {
    case 0: return r.next();
    case 1: return kEdges[r.below(std::size(kEdges))];
    case 2: return r.below(256);
    case 3: return r.below(16);
    default: return place(r) - data_base(mode);
  }
}

uint16_t any_selector(Random& r) {
  if (r.one_in(40)) return static_cast<uint16_t>(r.next());
  uint16_t s = r.of(kSelectors);
  if (r.one_in(12)) s = static_cast<uint16_t>((s & ~3u) | r.below(4));
  return s;
}

uint16_t code_selector(Random& r) {
  static constexpr uint16_t kCodes[] = {kUserCode64,  kUserCode32,         kUserCode64,      ldt::kCode16,
                                        ldt::kCode32, ldt::kExecuteOnly32, ldt::kAbsentCode, ldt::kData32};
  return r.one_in(8) ? any_selector(r) : r.of(kCodes);
}

// FS and GS hold anything; DS and ES now and then what is not the mode's data segment.
void make_segments(Random& r, Mode mode, Registers& out) {
  static constexpr uint16_t kExtra[] = {0,
                                        kUserData,
                                        ldt::kData16,
                                        ldt::kData32,
                                        ldt::kReadOnly32,
                                        ldt::kCode32,
                                        ldt::kDown16,
                                        ldt::kStack32,
                                        ldt::kFlat32};
  struct Set {
    uint16_t code, data, stack;
  };
  static constexpr Set kSets[] = {{kUserCode64, kUserData, kUserData},
                                  {kUserCode32, kUserData, kUserData},
                                  {ldt::kCode32, ldt::kData32, ldt::kStack32},
                                  {ldt::kCode16, ldt::kData16, ldt::kStack16}};
  const Set& set = kSets[static_cast<unsigned>(mode)];
  uint16_t ds = r.one_in(16) ? r.of(kExtra) : set.data, es = r.one_in(8) ? r.of(kExtra) : set.data;
  out.selector = {es, set.code, set.stack, ds, r.of(kExtra), r.of(kExtra)};
  for (unsigned i : {kFs, kGs}) {
    if (mode == Mode::Long64) out.selector[i] = 0;
    uint64_t base = segment_base(out.selector[i]);
    if (mode == Mode::Long64) base = r.one_in(3) ? 0 : r.one_in(2) ? place(r) : r.next() >> 17;
    (i == kFs ? out.fs_base : out.gs_base) = base;
  }
}

}  // namespace rhea::differential
