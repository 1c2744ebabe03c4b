// Writes a case's instructions, and into its window what they will look for there.
#pragma once

#include "generator.h"
#include "kinds.h"
#include "maker.h"

namespace rhea::differential {

class Writer {
 public:
  Writer(Random& r, const Generator& g, Input& in);
  void fill(unsigned max_insns);

 private:
  // False: the case ends behind this instruction.
  bool add(unsigned index);
  void add_invalid(unsigned index);
  void append(const std::vector<uint8_t>& bytes, uint32_t index, uint8_t traits = 0);
  void note(const Decoded& d);
  uint64_t here() const { return layout::kCode + in_.c.code_offset + in_.c.code.size(); }

  // Where the instruction, `length` bytes long and about to be written, has its memory operand.
  bool address_of(const Decoded& d, uint64_t& linear) const;
  bool stack_address(uint64_t& linear) const;
  bool known(ZydisRegister reg, uint64_t& value) const;
  uint64_t base_of(ZydisRegister segment) const;
  // Little-endian, as far as it is in the window; moves `linear` on.
  void put(uint64_t& linear, uint64_t value, unsigned bytes);

  bool prepare(Kind kind, const Decoded& d, std::vector<uint8_t>& bytes);
  bool prepare_segment(const Decoded& d);
  bool prepare_far(Kind kind, const Decoded& d, std::vector<uint8_t>& bytes);
  bool prepare_frame(const Decoded& d, uint64_t next, unsigned width);
  bool prepare_near(const Decoded& d);
  bool prepare_image(const Decoded& d);
  void load_register(ZydisRegister reg, uint64_t value);
  uint64_t near_target(uint64_t next, bool& continues);
  uint64_t far_target(uint16_t selector, uint64_t next, unsigned width, bool& continues);
  uint64_t any_flags();

  Random& r_;
  const Generator& g_;
  Input& in_;
  Mode mode_;
  unsigned bits_;
  Known known_;
};

}  // namespace rhea::differential
