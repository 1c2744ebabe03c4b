// AML encoding: see aml.h. Opcodes are those of ACPI 6.4 table 20.1.
#include "machine/acpi/aml.h"

#include "base/check.h"

namespace rhea::machine::aml {
namespace {

using Bytes = std::vector<uint8_t>;

enum Op : uint8_t {
  kZeroOp = 0x00,
  kOneOp = 0x01,
  kNameOp = 0x08,
  kBytePrefix = 0x0a,
  kWordPrefix = 0x0b,
  kDWordPrefix = 0x0c,
  kStringPrefix = 0x0d,
  kQWordPrefix = 0x0e,
  kScopeOp = 0x10,
  kBufferOp = 0x11,
  kPackageOp = 0x12,
  kMethodOp = 0x14,
  kDualNamePrefix = 0x2e,
  kMultiNamePrefix = 0x2f,
  kExtOpPrefix = 0x5b,
  kLocal0Op = 0x60,
  kArg0Op = 0x68,
  kStoreOp = 0x70,
  kAddOp = 0x72,
  kAndOp = 0x7b,
  kOrOp = 0x7d,
  kIndexOp = 0x88,
  kCreateDWordFieldOp = 0x8a,
  kLEqualOp = 0x93,
  kLLessOp = 0x95,
  kIfOp = 0xa0,
  kElseOp = 0xa1,
  kNotifyOp = 0x86,
  kReturnOp = 0xa4,
};
enum ExtOp : uint8_t {
  kMutexOp = 0x01,
  kAcquireOp = 0x23,
  kReleaseOp = 0x27,
  kOpRegionOp = 0x80,
  kFieldOp = 0x81,
  kDeviceOp = 0x82,
  kProcessorOp = 0x83,
};

void append(Bytes& to, const Bytes& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void append_le(Bytes& to, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

Bytes joined(const Terms& terms) {
  Bytes all;
  for (const Term& t : terms) append(all, t.bytes);
  return all;
}

// PkgLength (20.2.4) counts itself: find the number of its bytes for which that comes out right.
Bytes pkg_length(size_t body, bool counts_itself = true) {
  for (unsigned bytes = 1; bytes <= 4; bytes++) {
    size_t total = body + (counts_itself ? bytes : 0);
    if (bytes == 1) {
      if (total < 0x40) return {static_cast<uint8_t>(total)};
      continue;
    }
    if (total >= size_t{1} << (4 + 8 * (bytes - 1))) continue;
    Bytes out{static_cast<uint8_t>((bytes - 1) << 6 | (total & 0xf))};
    append_le(out, total >> 4, bytes - 1);
    return out;
  }
  CHECK(false);
}

Term packaged(std::initializer_list<uint8_t> opcode, const Bytes& body) {
  Term t{opcode};
  append(t.bytes, pkg_length(body.size()));
  append(t.bytes, body);
  return t;
}

Bytes name_seg(std::string_view segment) {
  CHECK(!segment.empty() && segment.size() <= 4);
  Bytes out(segment.begin(), segment.end());
  out.resize(4, '_');
  return out;
}

Term binary(uint8_t opcode, const Term& a, const Term& b, const Term& target) {
  Term t{{opcode}};
  append(t.bytes, a.bytes);
  append(t.bytes, b.bytes);
  if (target.bytes.empty()) {
    t.bytes.push_back(0);  // NullName
  } else {
    append(t.bytes, target.bytes);
  }
  return t;
}

Term compare(uint8_t opcode, const Term& a, const Term& b) {
  Term t{{opcode}};
  append(t.bytes, a.bytes);
  append(t.bytes, b.bytes);
  return t;
}

}  // namespace

Term integer(uint64_t value) {
  if (value <= 1) return {{value == 0 ? kZeroOp : kOneOp}};
  Term t;
  unsigned bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;
  t.bytes.push_back(bytes == 1   ? kBytePrefix
                    : bytes == 2 ? kWordPrefix
                    : bytes == 4 ? kDWordPrefix
                                 : kQWordPrefix);
  append_le(t.bytes, value, bytes);
  return t;
}

Term string(std::string_view text) {
  Term t;
  t.bytes.reserve(text.size() + 2);
  t.bytes.push_back(kStringPrefix);
  for (char c : text) t.bytes.push_back(static_cast<uint8_t>(c));
  t.bytes.push_back(0);
  return t;
}

Term eisa_id(std::string_view id) {
  CHECK(id.size() == 7);
  auto hex = [&](size_t i) {
    char c = id[i];
    return static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'A' + 10);
  };
  auto letter = [&](size_t i) { return static_cast<uint32_t>(id[i] - 0x40); };
  // 19.3.4: compressed, stored big-endian in a DWord constant.
  uint32_t big =
      letter(0) << 26 | letter(1) << 21 | letter(2) << 16 | hex(3) << 12 | hex(4) << 8 | hex(5) << 4 | hex(6);
  Term t{{kDWordPrefix}};
  append_le(t.bytes, __builtin_bswap32(big), 4);
  return t;
}

Term buffer(std::span<const uint8_t> data) {
  Bytes body = integer(data.size()).bytes;
  body.insert(body.end(), data.begin(), data.end());
  return packaged({kBufferOp}, body);
}

Term package(const Terms& elements) {
  CHECK(elements.size() <= 255);
  Bytes body{static_cast<uint8_t>(elements.size())};
  append(body, joined(elements));
  return packaged({kPackageOp}, body);
}

Term path(std::string_view text) {
  Term t;
  while (!text.empty() && (text[0] == '\\' || text[0] == '^')) {
    t.bytes.push_back(static_cast<uint8_t>(text[0]));
    text.remove_prefix(1);
  }
  Bytes segments;
  unsigned count = 0;
  while (!text.empty()) {
    size_t dot = text.find('.');
    append(segments, name_seg(text.substr(0, dot)));
    count++;
    text = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
  }
  if (count == 0) t.bytes.push_back(0);
  if (count == 2) t.bytes.push_back(kDualNamePrefix);
  if (count > 2) {
    t.bytes.push_back(kMultiNamePrefix);
    t.bytes.push_back(static_cast<uint8_t>(count));
  }
  append(t.bytes, segments);
  return t;
}

Term arg(unsigned i) {
  CHECK(i < 7);
  return {{static_cast<uint8_t>(kArg0Op + i)}};
}

Term local(unsigned i) {
  CHECK(i < 8);
  return {{static_cast<uint8_t>(kLocal0Op + i)}};
}

Term name(std::string_view at, const Term& value) {
  Term t{{kNameOp}};
  append(t.bytes, path(at).bytes);
  append(t.bytes, value.bytes);
  return t;
}

Term scope(std::string_view at, const Terms& body) {
  Bytes all = path(at).bytes;
  append(all, joined(body));
  return packaged({kScopeOp}, all);
}

Term device(std::string_view at, const Terms& body) {
  Bytes all = path(at).bytes;
  append(all, joined(body));
  return packaged({kExtOpPrefix, kDeviceOp}, all);
}

Term method(std::string_view at, unsigned arguments, const Terms& body, bool serialized) {
  CHECK(arguments < 8);
  Bytes all = path(at).bytes;
  all.push_back(static_cast<uint8_t>(arguments | (serialized ? 8u : 0u)));
  append(all, joined(body));
  return packaged({kMethodOp}, all);
}

Term processor(std::string_view at, uint8_t id, uint32_t block, uint8_t block_length, const Terms& body) {
  Bytes all = path(at).bytes;
  all.push_back(id);
  append_le(all, block, 4);
  all.push_back(block_length);
  append(all, joined(body));
  return packaged({kExtOpPrefix, kProcessorOp}, all);
}

Term operation_region(std::string_view at, Space space, const Term& offset, const Term& length) {
  Term t{{kExtOpPrefix, kOpRegionOp}};
  append(t.bytes, path(at).bytes);
  t.bytes.push_back(static_cast<uint8_t>(space));
  append(t.bytes, offset.bytes);
  append(t.bytes, length.bytes);
  return t;
}

Term field(std::string_view region, Access access, std::initializer_list<FieldUnit> units) {
  Bytes body = path(region).bytes;
  body.push_back(static_cast<uint8_t>(access));  // NoLock, Preserve
  for (const FieldUnit& unit : units) {
    if (unit.name.empty()) {
      body.push_back(0);
    } else {
      append(body, name_seg(unit.name));
    }
    append(body, pkg_length(unit.bits, false));
  }
  return packaged({kExtOpPrefix, kFieldOp}, body);
}

Term mutex(std::string_view at) {
  Term t{{kExtOpPrefix, kMutexOp}};
  append(t.bytes, path(at).bytes);
  t.bytes.push_back(0);  // SyncLevel
  return t;
}

Term create_dword_field(const Term& source, const Term& byte_index, std::string_view at) {
  Term t{{kCreateDWordFieldOp}};
  append(t.bytes, source.bytes);
  append(t.bytes, byte_index.bytes);
  append(t.bytes, path(at).bytes);
  return t;
}

Term store(const Term& value, const Term& target) {
  return compare(kStoreOp, value, target);
}
Term bit_and(const Term& a, const Term& b, const Term& target) {
  return binary(kAndOp, a, b, target);
}
Term bit_or(const Term& a, const Term& b, const Term& target) {
  return binary(kOrOp, a, b, target);
}
Term add(const Term& a, const Term& b, const Term& target) {
  return binary(kAddOp, a, b, target);
}
Term index(const Term& object, const Term& at) {
  return binary(kIndexOp, object, at, {});
}
Term less(const Term& a, const Term& b) {
  return compare(kLLessOp, a, b);
}
Term equal(const Term& a, const Term& b) {
  return compare(kLEqualOp, a, b);
}

Term if_(const Term& condition, const Terms& body) {
  Bytes all = condition.bytes;
  append(all, joined(body));
  return packaged({kIfOp}, all);
}

Term else_(const Terms& body) {
  return packaged({kElseOp}, joined(body));
}

Term return_(const Term& value) {
  Term t{{kReturnOp}};
  append(t.bytes, value.bytes);
  return t;
}

Term notify(const Term& device, unsigned value) {
  return compare(kNotifyOp, device, integer(value));
}

Term acquire(std::string_view mutex) {
  Term t{{kExtOpPrefix, kAcquireOp}};
  append(t.bytes, path(mutex).bytes);
  append_le(t.bytes, 0xffff, 2);
  return t;
}

Term release(std::string_view mutex) {
  Term t{{kExtOpPrefix, kReleaseOp}};
  append(t.bytes, path(mutex).bytes);
  return t;
}

Term call(std::string_view at, const Terms& arguments) {
  Term t = path(at);
  append(t.bytes, joined(arguments));
  return t;
}

}  // namespace rhea::machine::aml
