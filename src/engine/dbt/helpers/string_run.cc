#include "engine/dbt/helpers/string_run.h"

#include "cpu/paging_tlb.h"
#include "engine/dbt/context.h"
#include "engine/dbt/runtime.h"

namespace rhea::dbt::helpers {

using cpu::SegIndex;

StringOp string_op(const Core& c, const Insn& insn) {
  return {.size = (insn.opcode & 1) == 0 ? 1u : insn.op_bytes,
          .width = insn.addr_bytes,
          .source = prefixed_segment(insn),
          .rep = repeat_prefix(insn) != 0,
          .down = c.s.direction_flag != 0,
          .downward_runs = false,
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

namespace {

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

// Bytes of a run of at most `limit` elements from `offset` on, or down to its end: in the page and before the
// address wraps. 0: the first element is not alone in its page, or nothing is known about it.
uint64_t run_bytes(const StringOp& op, uint64_t offset, uint64_t linear, uint64_t limit) {
  uint64_t in_page = linear & 0xfff;
  if (in_page + op.size > 0x1000) return 0;
  uint64_t bytes = op.down ? in_page + op.size : 0x1000 - in_page;
  uint64_t room = op.down ? offset : op.mask - offset;  // as far as the address may go without wrapping
  if (op.down) {
    if (bytes - op.size > room) bytes = room + op.size;
  } else if (bytes - 1 > room) {
    bytes = room + 1;
  }
  uint64_t elements = bytes / op.size;
  return (limit < elements ? limit : elements) * op.size;
}

}  // namespace

bool find_run(Core& c, const StringOp& op, SegIndex segment, int reg, bool write, uint64_t limit, Run& run) {
  uint64_t offset = c.s.gpr[reg] & op.mask, linear, ignored;
  if (find_known_run(c, op, segment, reg, write, limit, run)) return true;
  run.elements = 0;
  if ((op.down && !op.downward_runs) || op.step || limit < 4) return true;
  if (op.mask - offset < op.size - 1) return true;
  if (!cpu::to_linear(c, segment, offset, op.size, write, linear)) return false;
  uint64_t bytes = run_bytes(op, offset, linear, limit);
  if (bytes == 0) return true;
  if (c.s.cpl == 3 && (c.s.system_flags & cpu::rflags::AC) != 0 && (linear & (op.size - 1)) != 0) return true;
  // Only the first element may fault here; a limit inside the run is found again element by element.
  uint64_t lowest = op.down ? offset - (bytes - op.size) : offset;
  if (!cpu::to_linear(c, segment, lowest, static_cast<unsigned>(bytes), write, ignored)) return true;
  cpu::Translation t;
  if (!cpu::translate(c, linear, write ? cpu::Access::Write : cpu::Access::Read, cpu::current_privilege(c), t,
                      segment == cpu::SS)) {
    return false;
  }
  uint64_t below = op.down ? bytes - op.size : 0;
  uint8_t* host = cpu::host_pointer(c, t.gpa - below, bytes, run.range);
  if (host == nullptr || (write && run.range->access == memory::RamAccess::ReadOnly)) return true;
  run.host = host + below;
  run.gpa = t.gpa;
  run.elements = bytes / op.size;
  note_run(c, op, segment, linear, write, run, t);
  return true;
}

void note_written(Core& c, const StringOp& op, const Run& run, uint64_t elements) {
  if (run.range == nullptr) return;
  uint64_t lowest = op.down ? run.gpa - (elements - 1) * op.size : run.gpa;
  cpu::note_code_write(c, *run.range, lowest, static_cast<unsigned>(elements * op.size));
}

}  // namespace rhea::dbt::helpers
