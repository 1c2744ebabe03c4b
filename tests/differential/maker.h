// One instruction of a case, from a template of the catalogue: registers, addressing, prefixes and immediates
// are random as far as the decoder accepts them.
#pragma once

#include <Zydis/Zydis.h>

#include <vector>

#include "catalogue.h"
#include "values.h"

namespace rhea::differential {

struct Decoded {
  ZydisDecodedInstruction z;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

// At most 15 bytes are looked at.
ZyanStatus decode_bytes(const std::vector<uint8_t>& bytes, unsigned bits, Decoded& out);

// What is still known, at a place in the case, of the registers that it begins with.
struct Known {
  const Registers& registers;
  uint16_t changed = 0;  // general registers
  bool segments = true;
};

class Maker {
 public:
  Maker(Random& r, Mode mode, const Known& known, uint64_t rip)
      : r_(r), mode_(mode), bits_(code_bits(mode)), known_(known), regs_(known.registers), rip_(rip) {}

  // Empty: the decoder accepted none of the tries.
  std::vector<uint8_t> make(const Template& t, Decoded& d);
  // Made from the template, and not an instruction; empty: no luck.
  std::vector<uint8_t> make_invalid(const Template& t);

 private:
  unsigned random_register() { return r_.below(bits_ == 64 ? 16 : 8); }
  unsigned pointer_register();
  std::vector<uint8_t> build(const Template& t);
  void put_prefixes(const Template& t, std::vector<uint8_t>& out);
  uint64_t target();
  void make_modrm(const Template& t);
  void put_disp(uint64_t value, unsigned bytes);
  void make_modrm16();
  void make_modrm32(const Template& t);
  void make_sib(const Template& t, unsigned base, uint64_t to);
  void put_legacy(const Template& t, std::vector<uint8_t>& out);
  void put_vex(const Template& t, std::vector<uint8_t>& out);
  void put_evex(const Template& t, std::vector<uint8_t>& out);
  void fix_rip(std::vector<uint8_t>& bytes, const Decoded& d);
  void try_lock(std::vector<uint8_t>& bytes, const Template& t, Decoded& d);

  Random& r_;
  Mode mode_;
  unsigned bits_;
  const Known& known_;
  const Registers& regs_;
  uint64_t rip_;
  bool plain_ = false;
  unsigned reg_ = 0, rm_ = 0, index_extension_ = 0, base_extension_ = 0;
  std::vector<uint8_t> tail_;
  bool address_override_ = false;
  uint8_t segment_override_ = 0;
};

}  // namespace rhea::differential
