// MOV to and from the debug registers. SDM vol. 3B 18.2, vol. 2 "MOV DRn".
#include "cpu/registers.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint64_t kGeneralDetect = 1 << 13;
constexpr uint64_t kDr6Fixed = 0xffff0ff0, kDr6Writable = 0xe00f;
constexpr uint64_t kDr7Fixed = 0x400, kDr7Writable = 0xffff23ff;

// Privilege, the DR4/DR5 aliases and general detection, which all accesses share.
bool check_access(Core& c, unsigned& n) {
  if (c.s.cpl != 0) return c.raise(vec::GP, 0);
  if (n > 7) return c.raise(vec::UD);
  if (n == 4 || n == 5) {
    if ((c.s.cr4 & cr4::DE) != 0) return c.raise(vec::UD);
    n += 2;
  }
  if ((c.s.dr[7] & kGeneralDetect) != 0) {
    c.fault = {.vector = vec::DB, .has_code = false, .code = 0, .address = 0, .dr6 = kGeneralDetect};
    return false;
  }
  return true;
}

}  // namespace

bool read_dr(Core& c, unsigned n, uint64_t& value) {
  if (!check_access(c, n)) return false;
  value = c.s.dr[n];
  return true;
}

bool write_dr(Core& c, unsigned n, uint64_t value) {
  if (!check_access(c, n)) return false;
  if (n >= 6 && value >> 32 != 0) return c.raise(vec::GP, 0);
  if (n == 6) {
    c.s.dr[6] = (value & kDr6Writable) | kDr6Fixed;
    return true;
  }
  c.s.dr[n] = n == 7 ? (value & kDr7Writable) | kDr7Fixed : value;
  told(c);
  return true;
}

}  // namespace rhea::cpu
