// MOVS, STOS and LODS without REP, as loops of compiled code for small sizes have them, and in 64-bit code
// MOVS and STOS with REP, as kernels copy and clear. SDM vol. 2 per instruction. With DF set the helper runs;
// so it does in a block's careful variant, which takes over where an access is not in one page of RAM:
// nothing is read twice and nothing is done by halves. With REP it runs, too, unless both ends are in one
// page each that the TLB knows.
#include "engine/dbt/emit_string.h"

#include <bit>

#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/helpers/helpers.h"
#include "engine/dbt/helpers/operands.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

namespace {

constexpr Form inline_form(Helper helper) {
  Form f{};
  f.action = Action::Rewrite;
  f.helper = helper;
  return f;
}
const Form kMovs = inline_form(helpers::movs), kStos = inline_form(helpers::stos),
           kLods = inline_form(helpers::lods);

MemOperand at_pointer(int reg, uint8_t segment) {
  MemOperand m;
  m.base = static_cast<int8_t>(reg);
  m.seg = segment;
  return m;
}

}  // namespace

// With REP: flat 64-bit addresses.
static bool repeatable(const Insn& i, uint32_t m) {
  bool store = i.form->helper == kStos.helper, move = i.form->helper == kMovs.helper;
  return is64(m) && i.addr_bytes == 8 && (store || (move && flat_in_mode(m, helpers::prefixed_segment(i))));
}

const Form* string_form(const Insn& i, uint32_t m, const DbtOptions& options) {
  constexpr uint32_t kSpecial =
      mode::kUngrouped | mode::kSingle | mode::kDebug | mode::kWatch | mode::kAlignCheck;
  if (!options.inline_strings || !options.slots || (m & kSpecial) != 0) return nullptr;
  if (helpers::repeat_prefix(i) != 0 && !repeatable(i, m)) return nullptr;
  for (const Form* form : {&kMovs, &kStos, &kLods}) {
    if (i.form->helper == form->helper) return form;
  }
  return nullptr;
}

bool is_string_form(const Form& form) {
  return &form == &kMovs || &form == &kStos || &form == &kLods;
}

// The pointer goes on by the element.
void Emitter::move_pointer(int reg, unsigned addr_bytes, unsigned by) {
  const Host pointer = static_cast<Host>(host_of(reg));
  const HostMem next{.base = pointer, .disp = static_cast<int32_t>(by)};
  if (addr_bytes == 8)
    a_.lea(pointer, next);
  else if (addr_bytes == 4)
    a_.lea32(pointer, next);
  else
    a_.lea32(kT1, next), write_gpr(reg, kT1, 2);
}

// RCX elements from `pointer` on: jumps that are taken when they are not all in one page that the TLB knows.
// Else T1: its delta. May use T0.
std::array<uint8_t*, 2> Emitter::probe_run(Host pointer, bool write, unsigned size) {
  const auto shift = static_cast<uint8_t>(std::countr_zero(size));
  a_.mov(kT0, pointer);
  uint8_t* miss = probe_tlb(write, size, true, false);
  a_.lea(kT0, {.base = kT0, .index = hRCX, .scale = shift});
  a_.cmp_imm(kT0, static_cast<int32_t>(kPageSize));
  return {miss, a_.jcc_later(ccA)};
}

// The host's own instruction, on host addresses. RCX may be 0.
void Emitter::repeated_string(const Insn& i, unsigned size, bool source, bool live) {
  a_.op_rm(0x80, 7, ctx_mem(RHEA_CTX(core.s.direction_flag)), false), a_.u8(0);
  uint8_t* down = a_.jcc_later(ccNE);
  a_.cmp_imm(hRCX, static_cast<int32_t>(kPageSize / size));
  uint8_t* much = a_.jcc_later(ccA);
  std::array<uint8_t*, 2> from{}, to{};
  if (source) from = probe_run(hRSI, false, size), a_.mov(kT2, kT1);
  to = probe_run(hRDI, true, size);
  a_.add_rr(hRDI, kT1);
  if (source) a_.add_rr(hRSI, kT2);
  a_.u8(0xf3);
  if (size == 2) a_.u8(0x66);
  if (size == 8) a_.u8(0x48);
  a_.u8((source ? 0xa4u : 0xaau) | (size == 1 ? 0 : 1));
  a_.sub_rr(hRDI, kT1);
  if (source) a_.sub_rr(hRSI, kT2);
  uint8_t* done = a_.jmp_short_later();
  for (uint8_t* jump : {down, much, from[0], from[1], to[0], to[1]}) {
    if (jump != nullptr) Assembler::bind(jump, a_.here());
  }
  Stub& s = helper_stub(i, a_.jmp_later(), false, live);
  a_.bind_short(done);
  s.resume = a_.here();
}

void Emitter::string(const Insn& i, uint16_t live_after) {
  const uint16_t keep = live_after & kStatusMask;
  const unsigned size = (i.opcode & 1) == 0 ? 1 : i.op_bytes;
  const bool source = i.form != &kStos, destination = i.form != &kLods;
  if (keep != 0) {
    flags_to_slot();
    flags_ = {.host = false, .slot = true};
  }
  if (helpers::repeat_prefix(i) != 0) return repeated_string(i, size, source, keep != 0);
  helper_unless_zero(i, false, keep != 0,
                     [&] { a_.op_rm(0x0fb6, hRCX, ctx_mem(RHEA_CTX(core.s.direction_flag)), false); });
  const size_t helped = stubs_.size() - 1;
  MemOp op{.kind = MemOp::Kind::LoadReg,
           .reg = kT2,
           .bytes = static_cast<uint8_t>(size),
           .must_fill = true,
           .keep_flags = keep};
  if (source)
    access(i, at_pointer(cpu::RSI, helpers::prefixed_segment(i)), i.addr_bytes, size, false, true, op, {});
  op.kind = MemOp::Kind::StoreReg;
  op.must_fill = false;  // next to code it may be made in place
  if (!source) op.reg = hRAX;
  if (destination) access(i, at_pointer(cpu::RDI, cpu::ES), i.addr_bytes, size, true, false, op, {});
  if (!destination) write_gpr(cpu::RAX, kT2, size);
  if (source) move_pointer(cpu::RSI, i.addr_bytes, size);
  if (destination) move_pointer(cpu::RDI, i.addr_bytes, size);
  stubs_[helped].resume = a_.here();
}

}  // namespace rhea::dbt
