// Emits one block: analyse has said which flags are live; here each instruction becomes host code. Hot code
// runs straight through; everything rare is a stub behind it.
//
// Invariants at guest instruction boundaries: identity-mapped guest registers are in their host registers,
// rsp in r15, r9-r11 and r15 in the state; T0-T2 are free; status flags that are live are in EFLAGS; gs
// points at the Context.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/dbt/assembler.h"
#include "engine/dbt/block.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/groups.h"
#include "engine/dbt/insn.h"
#include "engine/dbt/thunks.h"

namespace rhea::dbt {

struct DbtOptions;

inline constexpr uint16_t kStatusMask = 0x8d5;

// The host register that holds a guest GPR, or kNone: it lives in the state.
inline constexpr uint8_t kNone = HostMem::kNone;
inline uint8_t host_of(int guest) {
  switch (guest) {
    case cpu::RSP: return kGuestSp;
    case cpu::R9:
    case cpu::R10:
    case cpu::R11:
    case cpu::R15: return kNone;
    default: return static_cast<uint8_t>(guest);
  }
}
inline HostMem gpr_slot(int guest) {
  return ctx_mem(RHEA_CTX(core.s.gpr) + 8u * static_cast<unsigned>(guest));
}

// What happens on the accessed memory once its host address is known.
struct MemOp {
  enum class Kind : uint8_t { Copy, StoreReg, StoreGuest, StoreNext, StoreImm, LoadReg } kind;
  const Insn* insn = nullptr;  // Copy
  uint8_t reg = 0;             // host register to store or load
  uint8_t bytes = 8;
  int32_t imm = 0;         // StoreGuest: a guest register that lives in the state; StoreNext: distance of the
                           // return address (to T0, too) from the page's first byte
  bool must_fill = false;  // the slow path may not stand in: the block's careful variant runs instead
  uint16_t keep_flags = 0;   // flags live around the access: in their slot before the check
  bool needs_flags = false;  // the operation reads flags, or leaves some of those that live as they are
  bool restore = false;      // so they are brought back before it; set by access()
};

void jump_offset(Assembler& a);

class Emitter {
 public:
  struct Buffers;
  // buffers: what is not kept of one block is used again for the next.
  Emitter(CodeCache& cache, CacheLock& lock, const Thunks& thunks, const DbtOptions& options,
          Buffers& buffers, Block& block);

  // Which accesses share checks; before the first instruction.
  void set_groups(unsigned count) { group_slots_.assign(count, 0); }
  void set_plan(const AccessPlan& plan) { plan_ = plan; }
  // Stores get alternative paths although the careful variant could stand in for them.
  void set_alternatives(bool wanted) { alternatives_ = alternatives_ || wanted; }

  // Whether accesses look the TLB up or each keeps a slot of its own.
  void set_probe(bool probe) { probe_ = probe; }

  // Entry code. Then instructions in order; then finish().
  // flags_pass: those that live on entry are needed in their slot first, if at all.
  void begin(unsigned page_offset, bool flags_pass);
  // Deterministic runs, in front of each instruction and behind the last: counts those so far, at the latest
  // before anything that may fault, leave the block or look at the count.
  void count(const Insn* next);
  // live_after: status flags that are live behind the instruction.
  void copy(const Insn& i, uint16_t live_after);
  void hint(const Insn& i, uint16_t live_after);
  void help(const Insn& i, uint16_t live_after);
  void help_end(const Insn& i);
  // True: handled. Control flow that ends the block says so through ended().
  bool rewrite(const Insn& i, uint16_t live_after);
  // By a form of system_form(). last: nothing follows in the block.
  void system(const Insn& i, uint16_t live_after, bool last);
  // By a form of string_form().
  void string(const Insn& i, uint16_t live_after);
  void jump_to(unsigned page_offset, bool backward, uint16_t live);  // in this page
  void exit_to_rip_offset(int64_t offset_from_page);                 // anywhere, through the lookup
  bool ended() const { return ended_; }
  void finish();

  struct TargetFlags {
    virtual uint16_t live_at(unsigned page_offset) = 0;
    virtual ~TargetFlags() = default;
  };
  void set_target_flags(TargetFlags* t) { target_flags_ = t; }
  Assembler& assembler() { return a_; }

 private:
  struct Stub {
    enum class Kind : uint8_t {
      Access,
      Segment,
      Link,
      Poll,
      LinkFar,
      Predicted,
      ReturnsFull,
      CallMiss,
      PageMoved,
      Helper
    } kind;
    uint8_t* patch;  // rel32 to this stub
    uint8_t* resume = nullptr;
    uint8_t* after = nullptr;
    MemOp op;
    HostMem mem;
    bool base_form = false;
    bool probe = false;
    AccessSite site{};
    SegmentSite segment{};
    LinkSite* link = nullptr;
    const Insn* insn = nullptr;  // Helper
    bool ends = false, save_flags = false, restore_flags = false;
  };

  // access.cc
  void access(const Insn& i, const MemOperand& m, unsigned addr_bytes, unsigned size, bool write, bool read,
              MemOp op, const GroupRef& group);
  bool grouped_access(const Insn& i, const MemOperand& m, unsigned addr_bytes, MemOp& op,
                      const GroupRef& group, bool base_form);
  uint8_t* probe_tlb(bool write, unsigned size, bool delta, bool address);
  void effective_address(const Insn& i, const MemOperand& m, unsigned addr_bytes);
  void segment_check(const Insn& i, const MemOperand& m, unsigned size, bool write);
  void apply(const MemOp& op, const HostMem& mem);
  void store_sized(const HostMem& mem, uint8_t reg, unsigned bytes);
  void emit_access_stub(Stub& s);
  void emit_alternative(const Stub& s, const uint8_t* site);
  void refill_slot(const Stub& s, uint8_t* ask);
  unsigned next_slot() { return slot_counter_++ % kSlots; }

  // system.cc
  Stub& helper_stub(const Insn& i, uint8_t* patch, bool ends, bool live);
  void emit_helper_stub(const Stub& s);
  template <class Load>
  Stub& helper_unless_zero(const Insn& i, bool ends, bool live, Load load);
  void spill_flags(bool live);
  void flags_spilt(bool live);
  void store_byte(size_t at, unsigned value);
  void set_interrupts(const Insn& i);
  void push_flags(const Insn& i, uint16_t keep);
  void read_time(bool with_aux, bool live);
  void base_register(const Insn& i, bool write, bool live);
  void switch_ac(const Insn& i, uint16_t keep);
  void exchange_gs();
  void read_control_register(const Insn& i);

  // string.cc
  void move_pointer(int reg, unsigned addr_bytes, unsigned by);
  std::array<uint8_t*, 2> probe_run(Host pointer, bool write, unsigned size);
  void repeated_string(const Insn& i, unsigned size, bool source, bool live);

  // copy.cc
  void operation(const Insn& i, const HostMem* mem);
  void splice(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem);
  void splice_legacy(const Insn& i, uint8_t reg, uint8_t rm, const HostMem* mem);
  void splice_vex(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem);
  void splice_evex(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem);
  void fault_point(const Insn& i, uint8_t* begin);

  // flow.cc
  void near_jump(const Insn& i);
  void conditional(const Insn& i, uint16_t live_after);
  void counted(const Insn& i, uint16_t live_after);
  void near_call(const Insn& i, uint16_t live_after);
  void near_return(const Insn& i, uint16_t live_after);
  void load_target(const Insn& i, Host to);  // operand of an indirect JMP or CALL
  void lookup_exit();                        // T0: rip
  bool may_link_far() const;
  void far_site(Stub::Kind kind, bool call, uint32_t slot, int32_t target, uint8_t* unseen, uint8_t* to_poll);
  bool far_link(int64_t target, bool call);
  bool predict(const Insn& i, bool call);
  bool expects_returns(const Insn& i) const;
  void limit_returns();
  void expecting_call(const Insn& i, bool linked, int64_t target, uint16_t live);
  void landing(const Insn& i, bool same_page);
  void rip_to(Host to, int64_t offset_from_page);
  void mask_rip(Host r, unsigned op_bytes);
  void check_code_limit(const Insn& i, Host target);
  void direct_exit(const Insn& i);
  uint8_t* poll(uint16_t live);
  void link_stub(LinkSite* l, uint8_t* to_poll);
  LinkSite* link_site(int32_t offset_from_page, uint8_t* rel32, bool slotted = false);
  bool in_page(const Insn& i, int64_t& page_offset) const;
  uint8_t* aligned_jmp();

  // stack.cc
  unsigned stack_bytes() const;
  MemOperand stack_operand(int32_t disp) const;
  void move_sp(int32_t by);
  void push_value(const Insn& i, unsigned bytes, const MemOp& op);
  bool push(const Insn& i, uint16_t live_after);
  bool pop(const Insn& i, uint16_t live_after);
  void leave(const Insn& i, uint16_t live_after);
  void lea(const Insn& i);
  void write_gpr(int guest, Host value, unsigned bytes);
  Host read_gpr(int guest, Host scratch);

  void save_flags();
  void restore_flags();
  // Where the live status flags are: EFLAGS, their slot in the state, or both. Moved only when needed.
  struct FlagPlace {
    bool host = true;
    bool slot = false;
  };
  void flags_to_slot();
  void flags_to_host();
  void flags_written() { flags_ = {}; }
  void leave_unless_it_fits(unsigned page_offset);
  bool single() const { return (block_.mode & mode::kSingle) != 0; }

  CodeCache& cache_;
  CacheLock& lock_;
  const Thunks& thunks_;
  const DbtOptions& options_;
  Block& block_;
  uint32_t mode_;
  Bank bank_;
  Assembler a_;
  std::vector<Stub>& stubs_;
  std::vector<FaultPoint>& faults_;
  std::vector<unsigned>& group_slots_;
  TargetFlags* target_flags_ = nullptr;
  bool ended_ = false;
  FlagPlace flags_;
  bool alternatives_ = false;
  int32_t uncounted_ = 0;
  AccessPlan plan_;
  bool probe_ = false;
  static inline unsigned slot_counter_ = 0;
};

struct Emitter::Buffers {
  std::vector<Stub> stubs;
  std::vector<FaultPoint> faults;
  std::vector<unsigned> group_slots;
};

// Goes to the helper when ECX, loaded by `load`, is not 0; touches no flags.
template <class Load>
Emitter::Stub& Emitter::helper_unless_zero(const Insn& i, bool ends, bool live, Load load) {
  a_.mov(kT1, hRCX);
  load();
  a_.u8(0x67), a_.u8(0xe3);  // jecxz over: mov rcx, T1; jmp
  a_.u8(8);
  a_.mov(hRCX, kT1);
  uint8_t* to_helper = a_.jmp_later();
  a_.mov(hRCX, kT1);
  return helper_stub(i, to_helper, ends, live);
}

}  // namespace rhea::dbt
