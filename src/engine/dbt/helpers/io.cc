// IN, OUT, INS, OUTS. SDM vol. 1 chapter 19, vol. 2. The ports are ordinary C++, reached through
// Core::cold(). Repeated ones go page by page where the page is plain RAM.
#include "cpu/control_transfer.h"
#include "cpu/paging_cold.h"
#include "engine/dbt/helpers/string_run.h"
#include "engine/dbt/runtime_debug.h"

namespace rhea::dbt::helpers {

namespace {

namespace cold = cpu::paging_cold;

// I/O breakpoints: the instruction, or its element, traps when it is done.
bool port_watched(const Core& c) {
  return io_points_armed(context_of(const_cast<Core&>(c)));
}
void note_port(Core& c, uint16_t port, unsigned size) {
  if (port_watched(c)) watch_port(context_of(c), port, size);
}

uint64_t load_port(Core& c, uint16_t port, unsigned size) {
  note_port(c, port, size);
  cold::IoArg arg{c.ports, port, 0, size};
  c.cold(cold::load, &arg);
  return arg.value & size_mask(size);
}

void store_port(Core& c, uint16_t port, unsigned size, uint64_t value) {
  note_port(c, port, size);
  cold::IoArg arg{c.ports, port, value & size_mask(size), size};
  c.cold(cold::store, &arg);
}

// E4-E7 have it as an immediate, EC-EF in DX.
uint16_t port_number(const Core& c, const Insn& insn) {
  return static_cast<uint16_t>((insn.opcode & 8) != 0 ? c.s.gpr[cpu::RDX]
                                                      : static_cast<uint64_t>(insn.imm) & 0xff);
}

unsigned port_size(const Insn& insn) {
  return (insn.opcode & 1) == 0 ? 1 : insn.op_bytes == 2 ? 2 : 4;
}

void move_run(Core& c, uint16_t port, unsigned size, const Run& run, void (*move)(void*)) {
  cold::RunArg arg{c.ports, port, run.host, run.elements * size, size};
  c.cold(move, &arg);
}

// The repetition that INS and OUTS share: `one` moves an element, `many` a run in memory. Interrupts are
// looked at in between.
template <class One, class Many>
Outcome repeat(Core& c, const StringOp& op, int pointer, One one, Many many) {
  bool in = pointer == cpu::RDI;
  for (uint64_t left = counter(c, op), n; left != 0; left -= n) {
    Run run;
    n = 1;
    if (!find_run(c, op, in ? cpu::ES : op.source, pointer, in, left, run)) return Outcome::Fault;
    if (run.elements != 0) {
      n = run.elements;
      many(run);
    } else if (!one()) {
      return Outcome::Fault;
    }
    advance(c, op, pointer, n);
    count_down(c, op, n);
    if (left != n && (op.step || c.pending.load(std::memory_order_relaxed) != 0)) return Outcome::Jump;
  }
  return Outcome::Continue;
}

StringOp port_string(const Core& c, const Insn& insn) {
  StringOp op = string_op(c, insn);
  op.size = port_size(insn);
  op.step = op.step || port_watched(c);
  return op;
}

}  // namespace

Outcome port_in(Core& c, const Insn& insn) {
  uint16_t port = port_number(c, insn);
  unsigned size = port_size(insn);
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  write_gpr(c, cpu::RAX, size, load_port(c, port, size));
  return Outcome::Continue;
}

Outcome port_out(Core& c, const Insn& insn) {
  uint16_t port = port_number(c, insn);
  unsigned size = port_size(insn);
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  store_port(c, port, size, c.s.gpr[cpu::RAX]);
  return Outcome::Continue;
}

Outcome ins(Core& c, const Insn& insn) {
  auto port = static_cast<uint16_t>(c.s.gpr[cpu::RDX]);
  const StringOp op = port_string(c, insn);
  const unsigned size = op.size;
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  auto one = [&] {
    uint64_t offset = c.s.gpr[cpu::RDI] & op.mask, linear;
    if (!cpu::to_linear(c, cpu::ES, offset, size, true, linear)) return false;
    // A port read cannot be undone: the destination must be known good first.
    if (!cpu::probe_write(c, linear, size, cpu::current_privilege(c))) return false;
    uint64_t value = load_port(c, port, size);
    return write_at(c, cpu::ES, offset, &value, size);
  };
  return repeat(c, op, cpu::RDI, one, [&](const Run& run) {
    move_run(c, port, size, run, cold::load_run);
    note_written(c, op, run, run.elements);
  });
}

Outcome outs(Core& c, const Insn& insn) {
  auto port = static_cast<uint16_t>(c.s.gpr[cpu::RDX]);
  const StringOp op = port_string(c, insn);
  const unsigned size = op.size;
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  auto one = [&] {
    uint64_t value = 0;
    if (!read_at(c, op.source, c.s.gpr[cpu::RSI] & op.mask, &value, size)) return false;
    store_port(c, port, size, value);
    return true;
  };
  return repeat(c, op, cpu::RSI, one, [&](const Run& run) { move_run(c, port, size, run, cold::store_run); });
}

}  // namespace rhea::dbt::helpers
