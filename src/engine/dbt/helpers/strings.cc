// MOVS, STOS, LODS, CMPS, SCAS with and without REP. SDM vol. 1 7.3.9, vol. 2 per instruction.
//
// A repeated instruction goes page by page: as many elements as lie in the pages under the pointers, within
// the segment limits, before an address wraps, are done by the host's own instruction of the same element
// size, whose semantics for overlapping operands are the guest's. MOVS and STOS do so downwards too. What is
// not plain RAM, crosses a page or is another instruction that runs downwards goes element by element.
// Registers are up to date whenever a fault can arise or pending work is looked at, which is the restart
// state that the manual asks for.
#include "engine/dbt/context.h"
#include "engine/dbt/helpers/string_run.h"
#include "engine/dbt/runtime.h"

namespace rhea::dbt::helpers {

namespace {

using cpu::SegIndex;

bool interrupted(Core& c) {
  return c.pending.load(std::memory_order_relaxed) != 0;
}

// SAFETY (all of them): the pointers and counts come from find_run, which has checked the whole extent; DF is
// 0 in the host but for the one instruction between STD and CLD.
#define RHEA_MOVE(insn) asm volatile(insn : "+D"(to), "+S"(from), "+c"(n) : : "memory")
#define RHEA_STORE(insn) asm volatile(insn : "+D"(to), "+c"(n) : "a"(value) : "memory")

void host_movs(uint8_t* to, const uint8_t* from, uint64_t n, unsigned size, bool down) {
  switch (size | (down ? 0x10u : 0u)) {
    case 1: RHEA_MOVE("rep movsb"); break;
    case 2: RHEA_MOVE("rep movsw"); break;
    case 4: RHEA_MOVE("rep movsl"); break;
    case 8: RHEA_MOVE("rep movsq"); break;
    case 0x11: RHEA_MOVE("std; rep movsb; cld"); break;
    case 0x12: RHEA_MOVE("std; rep movsw; cld"); break;
    case 0x14: RHEA_MOVE("std; rep movsl; cld"); break;
    default: RHEA_MOVE("std; rep movsq; cld"); break;
  }
}

void host_stos(uint8_t* to, uint64_t value, uint64_t n, unsigned size, bool down) {
  switch (size | (down ? 0x10u : 0u)) {
    case 1: RHEA_STORE("rep stosb"); break;
    case 2: RHEA_STORE("rep stosw"); break;
    case 4: RHEA_STORE("rep stosl"); break;
    case 8: RHEA_STORE("rep stosq"); break;
    case 0x11: RHEA_STORE("std; rep stosb; cld"); break;
    case 0x12: RHEA_STORE("std; rep stosw; cld"); break;
    case 0x14: RHEA_STORE("std; rep stosl; cld"); break;
    default: RHEA_STORE("std; rep stosq; cld"); break;
  }
}

#undef RHEA_MOVE
#undef RHEA_STORE

#define RHEA_COMPARE(insn) \
  asm volatile(insn "\n\tlahf\n\tseto %%al" : "+D"(to), "+S"(from), "+c"(n), "=&a"(ax) : : "memory", "cc")
#define RHEA_SCAN(insn) \
  asm volatile(insn "\n\tlahf\n\tseto %%al" : "+D"(to), "+c"(n), "+a"(ax) : : "memory", "cc")

// Elements done; flags as CpuState::status_flags.
uint64_t host_cmps(const uint8_t* to, const uint8_t* from, uint64_t n, unsigned size, bool while_equal,
                   uint16_t& flags) {
  uint64_t all = n, ax;
  switch (size | (while_equal ? 0x10u : 0u)) {
    case 0x11: RHEA_COMPARE("repe cmpsb"); break;
    case 0x12: RHEA_COMPARE("repe cmpsw"); break;
    case 0x14: RHEA_COMPARE("repe cmpsl"); break;
    case 0x18: RHEA_COMPARE("repe cmpsq"); break;
    case 1: RHEA_COMPARE("repne cmpsb"); break;
    case 2: RHEA_COMPARE("repne cmpsw"); break;
    case 4: RHEA_COMPARE("repne cmpsl"); break;
    default: RHEA_COMPARE("repne cmpsq"); break;
  }
  flags = static_cast<uint16_t>(ax);
  return all - n;
}

uint64_t host_scas(const uint8_t* to, uint64_t value, uint64_t n, unsigned size, bool while_equal,
                   uint16_t& flags) {
  uint64_t all = n, ax = value;
  switch (size | (while_equal ? 0x10u : 0u)) {
    case 0x11: RHEA_SCAN("repe scasb"); break;
    case 0x12: RHEA_SCAN("repe scasw"); break;
    case 0x14: RHEA_SCAN("repe scasl"); break;
    case 0x18: RHEA_SCAN("repe scasq"); break;
    case 1: RHEA_SCAN("repne scasb"); break;
    case 2: RHEA_SCAN("repne scasw"); break;
    case 4: RHEA_SCAN("repne scasl"); break;
    default: RHEA_SCAN("repne scasq"); break;
  }
  flags = static_cast<uint16_t>(ax);
  return all - n;
}

#undef RHEA_COMPARE
#undef RHEA_SCAN

bool read_element(Core& c, const StringOp& op, SegIndex segment, int reg, uint64_t& value) {
  value = 0;
  return read_at(c, segment, c.s.gpr[reg] & op.mask, &value, op.size);
}

bool write_element(Core& c, const StringOp& op, uint64_t value) {
  return write_at(c, cpu::ES, c.s.gpr[cpu::RDI] & op.mask, &value, op.size);
}

// As CMP sets them, for b - a with the operands of CMPS and SCAS in their order.
uint16_t compare_flags(uint64_t a, uint64_t b, unsigned size) {
  uint64_t ax;
  unsigned shift = 64 - 8 * size;  // SF, ZF, CF and OF of the wide comparison are those of the narrow one
  asm("cmp %2, %1\n\tlahf\n\tseto %%al" : "=&a"(ax) : "r"(a << shift), "r"(b << shift) : "cc");
  uint64_t narrow;
  asm("cmpb %b2, %b1\n\tlahf" : "=&a"(narrow) : "q"(a), "q"(b) : "cc");  // PF and AF are the low byte's
  constexpr uint64_t kLow = 0x14 << 8;
  return static_cast<uint16_t>((ax & ~kLow) | (narrow & kLow));
}

// After an element or a run: 0 go on, 1 finished, 2 leave for pending work.
enum class Step : uint8_t { GoOn, Finished, Leave };

Step next_step(Core& c, const StringOp& op, uint64_t left) {
  if (!op.rep || left == 0) return Step::Finished;
  return op.step || interrupted(c) ? Step::Leave : Step::GoOn;
}

Outcome outcome(Step step) {
  return step == Step::Leave ? Outcome::Jump : Outcome::Continue;
}

// Pending work is looked at once in so many elements when they go one by one.
constexpr unsigned kPollInterval = 64;

}  // namespace

Outcome movs(Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  op.downward_runs = true;
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run from, to;
    n = 1;
    if (!find_run(c, op, op.source, cpu::RSI, false, left, from)) return Outcome::Fault;
    to.elements = 0;
    if (from.elements != 0 && !find_run(c, op, cpu::ES, cpu::RDI, true, from.elements, to))
      return Outcome::Fault;
    if (to.elements != 0) {
      n = to.elements;
      host_movs(to.host, from.host, n, op.size, op.down);
      note_written(c, op, to, n);
    } else {
      uint64_t value;
      if (!read_element(c, op, op.source, cpu::RSI, value) || !write_element(c, op, value))
        return Outcome::Fault;
    }
    advance(c, op, cpu::RSI, n);
    advance(c, op, cpu::RDI, n);
    count_down(c, op, n);
    if (n == 1 && !op.step && left % kPollInterval != 0) continue;
    if (Step step = next_step(c, op, left - n); step != Step::GoOn) return outcome(step);
  }
  return Outcome::Continue;
}

Outcome stos(Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  op.downward_runs = true;
  uint64_t value = c.s.gpr[cpu::RAX];
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run to;
    n = 1;
    if (!find_run(c, op, cpu::ES, cpu::RDI, true, left, to)) return Outcome::Fault;
    if (to.elements != 0) {
      n = to.elements;
      host_stos(to.host, value, n, op.size, op.down);
      note_written(c, op, to, n);
    } else if (!write_element(c, op, value)) {
      return Outcome::Fault;
    }
    advance(c, op, cpu::RDI, n);
    count_down(c, op, n);
    if (n == 1 && !op.step && left % kPollInterval != 0) continue;
    if (Step step = next_step(c, op, left - n); step != Step::GoOn) return outcome(step);
  }
  return Outcome::Continue;
}

Outcome lods(Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run from;
    n = 1;
    if (!find_run(c, op, op.source, cpu::RSI, false, left, from)) return Outcome::Fault;
    if (from.elements != 0) {  // all but the last have no effect beyond being readable
      n = from.elements;
      advance(c, op, cpu::RSI, n - 1);
      count_down(c, op, n - 1);
    }
    uint64_t value;
    if (!read_element(c, op, op.source, cpu::RSI, value)) return Outcome::Fault;
    write_gpr(c, cpu::RAX, op.size, value);
    advance(c, op, cpu::RSI, 1);
    count_down(c, op, 1);
    if (n == 1 && !op.step && left % kPollInterval != 0) continue;
    if (Step step = next_step(c, op, left - n); step != Step::GoOn) return outcome(step);
  }
  return Outcome::Continue;
}

namespace {

// The elements under both pointers. Which is looked at first depends on the prefix, on the CPUs measured. A
// fault in a repeated comparison leaves the flags of the last element (there; SDM vol. 2 has the flags from
// before the instruction).
bool read_both(Core& c, const StringOp& op, bool source_first, uint64_t& x, uint64_t& y) {
  return source_first
             ? read_element(c, op, op.source, cpu::RSI, x) && read_element(c, op, cpu::ES, cpu::RDI, y)
             : read_element(c, op, cpu::ES, cpu::RDI, y) && read_element(c, op, op.source, cpu::RSI, x);
}

bool condition_holds(const Core& c, bool while_equal) {
  return ((c.s.status_flags >> 8 & cpu::rflags::ZF) != 0) == while_equal;
}

}  // namespace

Outcome cmps(Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  bool while_equal = repeat_prefix(insn) != 0xf2;
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run a, b;
    n = 1;
    b.elements = 0;
    // A fault of a run is found again, in the right order, by element.
    bool ok = find_run(c, op, op.source, cpu::RSI, false, left, a);
    if (ok && a.elements != 0) ok = find_run(c, op, cpu::ES, cpu::RDI, false, a.elements, b);
    if (ok && b.elements != 0) {
      n = host_cmps(b.host, a.host, b.elements, op.size, while_equal, c.s.status_flags);
    } else {
      uint64_t x, y;
      if (!read_both(c, op, op.rep && while_equal, x, y)) return Outcome::Fault;
      c.s.status_flags = compare_flags(x, y, op.size);
    }
    advance(c, op, cpu::RSI, n);
    advance(c, op, cpu::RDI, n);
    count_down(c, op, n);
    if (!condition_holds(c, while_equal)) return Outcome::Continue;
    if (n == 1 && !op.step && left % kPollInterval != 0) continue;
    if (Step step = next_step(c, op, left - n); step != Step::GoOn) return outcome(step);
  }
  return Outcome::Continue;
}

Outcome scas(Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  bool while_equal = repeat_prefix(insn) != 0xf2;
  uint64_t value = c.s.gpr[cpu::RAX];
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run run;
    n = 1;
    if (!find_run(c, op, cpu::ES, cpu::RDI, false, left, run)) return Outcome::Fault;
    if (run.elements != 0) {
      n = host_scas(run.host, value, run.elements, op.size, while_equal, c.s.status_flags);
    } else {
      uint64_t element;
      if (!read_element(c, op, cpu::ES, cpu::RDI, element)) return Outcome::Fault;
      c.s.status_flags = compare_flags(value & size_mask(op.size), element, op.size);
    }
    advance(c, op, cpu::RDI, n);
    count_down(c, op, n);
    if (!condition_holds(c, while_equal)) return Outcome::Continue;
    if (n == 1 && !op.step && left % kPollInterval != 0) continue;
    if (Step step = next_step(c, op, left - n); step != Step::GoOn) return outcome(step);
  }
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
