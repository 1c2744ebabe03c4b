// MOVS, STOS, LODS, CMPS, SCAS with and without REP. SDM vol. 1 7.3.9, vol. 2 per instruction.
//
// A repeated instruction goes page by page: as many elements as lie in the pages under the pointers, within
// the segment limits, before an address wraps, are done by the host's own instruction of the same element
// size, whose semantics for overlapping operands are the guest's. What is not plain RAM, crosses a page or
// runs downwards goes element by element. Registers are up to date whenever a fault can arise or pending work
// is looked at, which is the restart state that the manual asks for.
#include "cpu/paging_tlb.h"
#include "engine/dbt/context.h"
#include "engine/dbt/helpers/operands.h"
#include "engine/dbt/runtime.h"

namespace rhea::dbt::helpers {

namespace {

using cpu::SegIndex;

struct StringOp {
  unsigned size;   // of an element
  unsigned width;  // of pointers and counter
  SegIndex source;
  bool rep;
  bool down;
  bool step;      // TF or data breakpoints: perhaps a trap after each element
  uint64_t mask;  // of pointers and counter
};

StringOp decode(const Core& c, const Insn& insn) {
  return {.size = (insn.opcode & 1) == 0 ? 1u : insn.op_bytes,
          .width = insn.addr_bytes,
          .source = prefixed_segment(insn),
          .rep = repeat_prefix(insn) != 0,
          .down = c.s.direction_flag != 0,
          .step = (c.s.system_flags & cpu::rflags::TF) != 0 || data_watched(c),
          .mask = size_mask(insn.addr_bytes)};
}

uint64_t counter(const Core& c, const StringOp& op) {
  return op.rep ? c.s.gpr[cpu::RCX] & op.mask : 1;
}

void advance(Core& c, const StringOp& op, int reg, uint64_t elements) {
  uint64_t bytes = elements * op.size;
  write_gpr(c, reg, op.width, op.down ? c.s.gpr[reg] - bytes : c.s.gpr[reg] + bytes);
}

void count_down(Core& c, const StringOp& op, uint64_t elements) {
  if (op.rep) write_gpr(c, cpu::RCX, op.width, c.s.gpr[cpu::RCX] - elements);
}

bool interrupted(Core& c) {
  return c.pending.load(std::memory_order_relaxed) != 0;
}

// A run of elements in host memory.
struct Run {
  uint8_t* host;
  uint64_t elements;
  uint64_t gpa;
  const memory::FlatRange* range;  // null: the page is known to hold no code
};

// In 64-bit code, a page that translated code has accessed lately: its TLB says where it is.
bool uses_tlb(const Context& x, const StringOp& op, SegIndex segment) {
  return is64(x.mode) && (x.mode & (mode::kWatch | mode::kAlignCheck)) == 0 && op.width == 8 && !op.step &&
         !op.down && segment != cpu::FS && segment != cpu::GS;
}

bool find_known_run(Core& c, const StringOp& op, SegIndex segment, int reg, bool write, uint64_t limit,
                    Run& run) {
  const Context& x = context_of(c);
  if (!uses_tlb(x, op, segment)) return false;
  uint64_t linear = c.s.gpr[reg];
  const TlbEntry& known = x.access[x.bank].tlb[tlb_index(linear)];
  if (known.tag[write ? 1 : 0] != (linear & ~uint64_t{0xfff})) return false;
  uint64_t room = (0x1000 - (linear & 0xfff)) >> __builtin_ctz(op.size);
  if (room == 0) return false;
  run = {reinterpret_cast<uint8_t*>(linear + known.delta), limit < room ? limit : room, 0, nullptr};
  return true;
}

// For find_known_run and for translated code.
void note_run(Core& c, const StringOp& op, SegIndex segment, uint64_t linear, bool write, const Run& run,
              const cpu::Translation& t) {
  Context& x = context_of(c);
  uint64_t page = t.gpa & ~uint64_t{0xfff}, offset = run.range->offset + (page - run.range->start);
  bool whole = page >= run.range->start && page + 0x1000 <= run.range->start + run.range->size;
  if (!uses_tlb(x, op, segment) || !whole) return;
  if (write && (!t.write_ok || run.range->ram->page_has_code(offset / kPageSize))) return;
  Slot entry{linear & ~uint64_t{0xfff}, reinterpret_cast<uint64_t>(run.host) - linear};
  fill_tlb(x, write, linear, entry, t);
}

// The run at the offset in `reg`, of at most `limit` elements. False: a fault. elements 0: go by element.
bool find_run(Core& c, const StringOp& op, SegIndex segment, int reg, bool write, uint64_t limit, Run& run) {
  uint64_t offset = c.s.gpr[reg] & op.mask, linear;
  if (find_known_run(c, op, segment, reg, write, limit, run)) return true;
  run.elements = 0;
  if (op.down || op.step || limit < 4) return true;
  uint64_t room = op.mask - offset;  // one less than the bytes before the address wraps
  uint64_t bytes = 0x1000;
  if (limit < bytes / op.size) bytes = limit * op.size;
  if (bytes - 1 > room) bytes = room + 1;
  if (bytes < op.size || !cpu::to_linear(c, segment, offset, op.size, write, linear)) return bytes < op.size;
  uint64_t page_room = 0x1000 - (linear & 0xfff);
  if (bytes > page_room) bytes = page_room;
  if (c.s.cpl == 3 && (c.s.system_flags & cpu::rflags::AC) != 0 && (linear & (op.size - 1)) != 0) return true;
  uint64_t elements = bytes / op.size, ignored;
  if (elements == 0) return true;
  // Only the first element may fault here; a limit inside the run is found again element by element.
  if (!cpu::to_linear(c, segment, offset, static_cast<unsigned>(elements * op.size), write, ignored))
    return true;
  cpu::Translation t;
  if (!cpu::translate(c, linear, write ? cpu::Access::Write : cpu::Access::Read, cpu::current_privilege(c), t,
                      segment == cpu::SS)) {
    return false;
  }
  run.host = cpu::host_pointer(c, t.gpa, elements * op.size, run.range);
  if (run.host == nullptr || (write && run.range->access == memory::RamAccess::ReadOnly)) return true;
  run.gpa = t.gpa;
  run.elements = elements;
  note_run(c, op, segment, linear, write, run, t);
  return true;
}

void note_written(Core& c, const StringOp& op, const Run& run, uint64_t elements) {
  if (run.range != nullptr)
    cpu::note_code_write(c, *run.range, run.gpa, static_cast<unsigned>(elements * op.size));
}

// SAFETY (all four): the pointers and counts come from find_run, which has checked the whole extent; DF is 0
// in the host.
void host_movs(uint8_t* to, const uint8_t* from, uint64_t n, unsigned size) {
  switch (size) {
    case 1: asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: asm volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
  }
}

void host_stos(uint8_t* to, uint64_t value, uint64_t n, unsigned size) {
  switch (size) {
    case 1: asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 2: asm volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    case 4: asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
    default: asm volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory"); break;
  }
}

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
  StringOp op = decode(c, insn);
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run from, to;
    n = 1;
    if (!find_run(c, op, op.source, cpu::RSI, false, left, from)) return Outcome::Fault;
    to.elements = 0;
    if (from.elements != 0 && !find_run(c, op, cpu::ES, cpu::RDI, true, from.elements, to))
      return Outcome::Fault;
    if (to.elements != 0) {
      n = to.elements;
      host_movs(to.host, from.host, n, op.size);
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
  StringOp op = decode(c, insn);
  uint64_t value = c.s.gpr[cpu::RAX];
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run to;
    n = 1;
    if (!find_run(c, op, cpu::ES, cpu::RDI, true, left, to)) return Outcome::Fault;
    if (to.elements != 0) {
      n = to.elements;
      host_stos(to.host, value, n, op.size);
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
  StringOp op = decode(c, insn);
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
  StringOp op = decode(c, insn);
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
  StringOp op = decode(c, insn);
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
