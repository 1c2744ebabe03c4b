// Runs of elements: what MOVS and its like, INS and OUTS do page by page. General registers only.
#pragma once

#include "engine/dbt/helpers/operands.h"
#include "memory/address_space.h"

namespace rhea::dbt::helpers {

struct StringOp {
  unsigned size;   // of an element
  unsigned width;  // of pointers and counter
  cpu::SegIndex source;
  bool rep;
  bool down;
  bool downward_runs;  // the caller can do runs that go down
  bool step;           // TF or data breakpoints: perhaps a trap after each element
  uint64_t mask;       // of pointers and counter
};

// Of MOVS, STOS, LODS, CMPS and SCAS as they are about to run.
StringOp string_op(const Core& c, const Insn& insn);

// Elements still to do; pointers and counter behind `elements` of them.
uint64_t counter(const Core& c, const StringOp& op);
void advance(Core& c, const StringOp& op, int reg, uint64_t elements);
void count_down(Core& c, const StringOp& op, uint64_t elements);

// A run of elements in host memory.
struct Run {
  uint8_t* host;  // of the first element that is done, which is the highest one where they go down
  uint64_t elements;
  uint64_t gpa;                    // of the same
  const memory::FlatRange* range;  // null: the page is known to hold no code
};

// The run at the offset in `reg`, of at most `limit` elements. False: a fault. elements 0: go by element.
bool find_run(Core& c, const StringOp& op, cpu::SegIndex segment, int reg, bool write, uint64_t limit,
              Run& run);
// Behind a store of `elements` of them.
void note_written(Core& c, const StringOp& op, const Run& run, uint64_t elements);

}  // namespace rhea::dbt::helpers
