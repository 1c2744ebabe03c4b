// IN, OUT, INS, OUTS. SDM vol. 1 chapter 19, vol. 2. The ports are ordinary C++, reached through
// Core::cold().
#include "cpu/control_transfer.h"
#include "cpu/paging_cold.h"
#include "engine/dbt/helpers/operands.h"
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

// The repetition that INS and OUTS share: `one` moves an element. Interrupts are looked at between elements.
template <class One>
Outcome repeat(Core& c, const Insn& insn, int pointer, unsigned size, One one) {
  uint64_t mask = size_mask(insn.addr_bytes);
  bool rep = repeat_prefix(insn) != 0;
  uint64_t count = rep ? c.s.gpr[cpu::RCX] & mask : 1;
  uint64_t step = c.s.direction_flag != 0 ? uint64_t{0} - size : size;
  while (count != 0) {
    if (!one()) return Outcome::Fault;
    write_gpr(c, pointer, insn.addr_bytes, c.s.gpr[pointer] + step);
    --count;
    if (rep) write_gpr(c, cpu::RCX, insn.addr_bytes, count);
    if (count != 0 && (c.pending.load(std::memory_order_relaxed) != 0 || data_watched(c) || port_watched(c)))
      return Outcome::Jump;
  }
  return Outcome::Continue;
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
  unsigned size = port_size(insn);
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  return repeat(c, insn, cpu::RDI, size, [&] {
    uint64_t offset = c.s.gpr[cpu::RDI] & size_mask(insn.addr_bytes), linear;
    if (!cpu::to_linear(c, cpu::ES, offset, size, true, linear)) return false;
    // A port read cannot be undone: the destination must be known good first.
    if (!cpu::probe_write(c, linear, size, cpu::current_privilege(c))) return false;
    uint64_t value = load_port(c, port, size);
    return write_at(c, cpu::ES, offset, &value, size);
  });
}

Outcome outs(Core& c, const Insn& insn) {
  auto port = static_cast<uint16_t>(c.s.gpr[cpu::RDX]);
  unsigned size = port_size(insn);
  if (!cpu::check_io_permission(c, port, size)) return Outcome::Fault;
  cpu::SegIndex segment = prefixed_segment(insn);
  return repeat(c, insn, cpu::RSI, size, [&] {
    uint64_t value = 0;
    if (!read_at(c, segment, c.s.gpr[cpu::RSI] & size_mask(insn.addr_bytes), &value, size)) return false;
    store_port(c, port, size, value);
    return true;
  });
}

}  // namespace rhea::dbt::helpers
