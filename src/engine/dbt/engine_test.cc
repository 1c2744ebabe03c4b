// Small guest programs in real mode on the engine: the whole path from dispatch to exit.
#include "engine/dbt/engine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <vector>

#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/paging.h"
#include "memory/address_space.h"

namespace rhea::dbt {
namespace {

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ram_ = memory::RamBlock::create("ram", 1 << 20).value();
    ASSERT_TRUE(space_.map_ram(Gpa{0}, *ram_, 0, 1 << 20));
    shared_ = make_dbt_shared(options_).value();
    engine_ = make_dbt_engine(shared_, 0).value();
    cpu::Core& c = engine_->core();
    for (uint64_t& word : table_.features.words) word = ~uint64_t{0};
    c.cpuid = &table_;
    c.memory = c.smm_memory = &space_;
    c.ports = &ports_;
    cpu::paging_create(c);
    cpu::reset_core(c, true);
    cpu::Segment& cs = c.s.seg[cpu::CS];
    cs.selector = 0;
    cs.base = 0;
    c.s.rip = 0x7c00;
    c.s.gpr[cpu::RSP] = 0x7000;
  }
  void TearDown() override { cpu::paging_destroy(engine_->core()); }
  void program(std::vector<uint8_t> code, uint64_t at = 0x7c00) {
    std::memcpy(ram_->host() + at, code.data(), code.size());
  }
  cpu::CpuState& run() {
    EXPECT_EQ(engine_->run(), cpu::Exit::Halted);
    return engine_->core().s;
  }

  DbtOptions options_;
  std::recursive_mutex lock_;
  std::unique_ptr<memory::RamBlock> ram_;
  memory::AddressSpace space_{"memory", lock_};
  memory::AddressSpace ports_{"ports", lock_};
  cpu::CpuidTable table_;
  std::shared_ptr<DbtShared> shared_;
  std::unique_ptr<cpu::Engine> engine_;
};

TEST_F(EngineTest, halts) {
  program({0xf4});
  EXPECT_EQ(run().rip, 0x7c01u);
}

TEST_F(EngineTest, moves_and_adds) {
  program({0xb8, 0x34, 0x12, 0x05, 0x01, 0x00, 0x89, 0xc3, 0xf4});  // mov ax,1234h; add ax,1; mov bx,ax; hlt
  auto& s = run();
  EXPECT_EQ(s.gpr[cpu::RAX] & 0xffff, 0x1235u);
  EXPECT_EQ(s.gpr[cpu::RBX] & 0xffff, 0x1235u);
}

TEST_F(EngineTest, stores_loads_and_stack) {
  // mov ax,5678h; mov [2000h],ax; push ax; pop cx; mov dx,[2000h]; call +1; hlt; inc dx; ret
  program({0xb8, 0x78, 0x56, 0xa3, 0x00, 0x20, 0x50, 0x59, 0x8b, 0x16, 0x00, 0x20, 0xe8, 0x01, 0x00, 0xf4,
           0x42, 0xc3});
  auto& s = run();
  EXPECT_EQ(s.gpr[cpu::RCX] & 0xffff, 0x5678u);
  EXPECT_EQ(s.gpr[cpu::RDX] & 0xffff, 0x5679u);
  EXPECT_EQ(s.gpr[cpu::RSP] & 0xffff, 0x7000u);
  EXPECT_EQ(s.rip, 0x7c10u);
}

TEST_F(EngineTest, loops_with_flags) {
  // mov cx,1000; xor ax,ax; l: add ax,cx; dec cx; jnz l; hlt
  program({0xb9, 0xe8, 0x03, 0x31, 0xc0, 0x01, 0xc8, 0x49, 0x75, 0xfb, 0xf4});
  auto& s = run();
  EXPECT_EQ(s.gpr[cpu::RAX] & 0xffff, (1000u * 1001 / 2) & 0xffff);
}

// fninit; mov word [2000h],37eh; fldcw [2000h]; fistp dword [2ffeh]; fnclex; hlt: across pages, from an empty
// stack.
TEST_F(EngineTest, an_unmasked_x87_exception_keeps_a_store_from_memory) {
  program({0xdb, 0xe3, 0xc7, 0x06, 0x00, 0x20, 0x7e, 0x03, 0xd9, 0x2e, 0x00, 0x20, 0xdb, 0x1e, 0xfe, 0x2f,
           0xdb, 0xe2, 0xf4});
  program({0x11, 0x22, 0x33, 0x44}, 0x2ffe);
  run();
  uint32_t left = 0;
  std::memcpy(&left, ram_->host() + 0x2ffe, 4);
  EXPECT_EQ(left, 0x44332211u);
}

TEST_F(EngineTest, division_by_zero_enters_the_vector) {
  ram_->host()[0] = 0x00, ram_->host()[1] = 0x60;  // vector 0 → 0:6000h
  program({0xf4}, 0x6000);
  program({0x31, 0xc9, 0xf7, 0xf1, 0xf4});  // xor cx,cx; div cx
  auto& s = run();
  EXPECT_EQ(s.rip, 0x6001u);
  EXPECT_EQ(ram_->host()[0x7000 - 6] | ram_->host()[0x7000 - 5] << 8, 0x7c02);
}

TEST_F(EngineTest, code_that_patches_the_next_instruction) {
  // mov byte [next+1], 42h; next: mov al, 0; hlt
  program({0xc6, 0x06, 0x06, 0x7c, 0x42, 0xb0, 0x00, 0xf4});
  EXPECT_EQ(run().gpr[cpu::RAX] & 0xff, 0x42u);
}

// mov cx,200; xor bx,bx; l: mov ax,cx; and al,1; mov [7d01h],al; call 7d00h; add bx,dx; loop l; hlt
// 7d00h: mov dl,0; mov dh,0; ret
TEST_F(EngineTest, code_that_changes_back_is_used_again) {
  program({0xb9, 0xc8, 0x00, 0x31, 0xdb, 0x89, 0xc8, 0x24, 0x01, 0xa2,
           0x01, 0x7d, 0xe8, 0xf1, 0x00, 0x01, 0xd3, 0xe2, 0xf2, 0xf4});
  program({0xb2, 0x00, 0xb6, 0x00, 0xc3}, 0x7d00);
  EXPECT_EQ(run().gpr[cpu::RBX] & 0xffff, 100u);
  const JitInfo info = jit_info(*shared_);
  EXPECT_GT(info.revived, 150u);
  EXPECT_LT(info.blocks, 80u);
}

// As above with 7d00h: ff /7, which is undefined, and ff /0 inc bx (its second byte changes); the #UD handler
// at 6000h skips it.
TEST_F(EngineTest, an_undefined_instruction_is_made_of_all_its_bytes) {
  ram_->host()[24] = 0x00, ram_->host()[25] = 0x60;  // vector 6 → 0:6000h
  // mov bp,sp; add word [bp],2; iret
  program({0x89, 0xe5, 0x83, 0x46, 0x00, 0x02, 0xcf}, 0x6000);
  // mov cx,100; xor bx,bx; l: test cl,1; mov al,0c3h; jz +2; mov al,0fbh; mov [7d01h],al; call 7d00h; loop l;
  // hlt
  program({0xb9, 0x64, 0x00, 0x31, 0xdb, 0xf6, 0xc1, 0x01, 0xb0, 0xc3, 0x74, 0x02,
           0xb0, 0xfb, 0xa2, 0x01, 0x7d, 0xe8, 0xec, 0x00, 0xe2, 0xef, 0xf4});
  program({0xff, 0xc3, 0xc3}, 0x7d00);
  EXPECT_EQ(run().gpr[cpu::RBX] & 0xffff, 50u);
}

// mov cx,20000; call 8000h; l: mov [8800h],cx; loop l; hlt
// 8000h: ret
TEST_F(EngineTest, stores_beside_code_that_ran_once_become_fast) {
  program({0xb9, 0x20, 0x4e, 0xe8, 0xfa, 0x03, 0x89, 0x0e, 0x00, 0x88, 0xe2, 0xfa, 0xf4});
  program({0xc3}, 0x8000);
  run();
  const JitInfo info = jit_info(*shared_);
  EXPECT_GE(info.slow_stores, 4096u);
  EXPECT_LT(info.slow_stores, 4200u);
}

// mov cx,300; mov si,7c00h; mov di,3000h; l: movsb; loop l; mov si,3000h; lodsw; stosb; stosw; std; lodsb;
// hlt
TEST_F(EngineTest, single_string_instructions_need_no_helper) {
  program({0xb9, 0x2c, 0x01, 0xbe, 0x00, 0x7c, 0xbf, 0x00, 0x30, 0xa4, 0xe2,
           0xfd, 0xbe, 0x00, 0x30, 0xad, 0xaa, 0xab, 0xfd, 0xac, 0xf4});
  auto& s = run();
  EXPECT_EQ(std::memcmp(ram_->host() + 0x3000, ram_->host() + 0x7c00, 300), 0);
  EXPECT_EQ(s.gpr[cpu::RAX] & 0xffff, 0x2c01u);  // LODSB of the third byte, downwards; AH from LODSW
  EXPECT_EQ(s.gpr[cpu::RSI] & 0xffff, 0x3001u);
  EXPECT_EQ(s.gpr[cpu::RDI] & 0xffff, 0x3000u + 300 + 3);
  EXPECT_EQ(ram_->host()[0x3000 + 300], 0xb9);
  EXPECT_LT(jit_info(*shared_).helper_calls, 10u);
}

TEST_F(EngineTest, debuggers_breakpoint_stops_before_the_instruction_each_time) {
  program({0xb9, 0x03, 0x00, 0x41, 0x49, 0x49, 0x75, 0xfb,
           0xf4});  // mov cx,3; l: inc cx; dec cx; dec cx; jnz l; hlt
  cpu::DebugRequest::Point point{0x7c05, 1, cpu::DebugRequest::Point::Kind::Execute};
  cpu::DebugRequest request{.single_step = false, .points = &point, .count = 1};
  cpu::DebugRequest step{.single_step = true, .points = nullptr, .count = 0};
  for (unsigned left = 3; left > 0; --left) {
    engine_->set_debug(&request);
    ASSERT_EQ(engine_->run(), cpu::Exit::Debug);
    EXPECT_EQ(engine_->debug_hit().kind, cpu::DebugHit::Kind::Execute);
    EXPECT_EQ(engine_->core().s.rip, 0x7c05u);
    EXPECT_EQ(engine_->core().s.gpr[cpu::RCX] & 0xffff, left);
    engine_->set_debug(&step);
    ASSERT_EQ(engine_->run(), cpu::Exit::Debug);
    EXPECT_EQ(engine_->debug_hit().kind, cpu::DebugHit::Kind::Step);
    EXPECT_EQ(engine_->core().s.rip, 0x7c06u);
  }
  engine_->set_debug(&request);
  EXPECT_EQ(run().rip, 0x7c09u);
}

TEST_F(EngineTest, debuggers_watchpoint_stops_after_the_access) {
  // mov ax,[2000h]; mov [2002h],ax; mov [2000h],ax; hlt
  program({0xa1, 0x00, 0x20, 0xa3, 0x02, 0x20, 0xa3, 0x00, 0x20, 0xf4});
  cpu::DebugRequest::Point point{0x2001, 1, cpu::DebugRequest::Point::Kind::Write};
  cpu::DebugRequest request{.single_step = false, .points = &point, .count = 1};
  engine_->set_debug(&request);
  ASSERT_EQ(engine_->run(), cpu::Exit::Debug);
  EXPECT_EQ(engine_->debug_hit().kind, cpu::DebugHit::Kind::Watch);
  EXPECT_EQ(engine_->debug_hit().linear, 0x2001u);
  EXPECT_EQ(engine_->core().s.rip, 0x7c09u);
  EXPECT_EQ(run().rip, 0x7c0au);
}

TEST_F(EngineTest, guests_own_data_and_code_breakpoints_raise_debug_exceptions) {
  cpu::Core& c = engine_->core();
  ram_->host()[4] = 0x00, ram_->host()[5] = 0x60;  // vector 1 → 0:6000h
  program({0xf4}, 0x6000);
  program({0xa3, 0x00, 0x20, 0x90, 0x90, 0xf4});  // mov [2000h],ax; nop; nop; hlt
  c.s.dr[0] = 0x2000;
  c.s.dr[7] = 0x400 | 1 | 1 << 16 | 1 << 18;  // L0, write, two bytes
  EXPECT_EQ(run().rip, 0x6001u);
  EXPECT_EQ(c.s.dr[6] & 0xf, 1u);
  EXPECT_EQ(ram_->host()[0x7000 - 6] | ram_->host()[0x7000 - 5] << 8, 0x7c03);

  c.s.halted = 0;
  c.s.rip = 0x7c03;
  c.s.gpr[cpu::RSP] = 0x7000;
  c.s.dr[1] = 0x7c04;
  c.s.dr[6] = 0;
  c.s.dr[7] = 0x400 | 4;  // L1, execute
  engine_->push();
  EXPECT_EQ(run().rip, 0x6001u);
  EXPECT_EQ(c.s.dr[6] & 0xf, 2u);
  EXPECT_EQ(ram_->host()[0x7000 - 6] | ram_->host()[0x7000 - 5] << 8, 0x7c04);
}

}  // namespace
}  // namespace rhea::dbt
