#include "cpu/paging.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "cpu/paging_tlb.h"
#include "memory/address_space.h"

namespace rhea::cpu {
namespace {

constexpr uint64_t kRamBytes = 16 << 20;
constexpr uint64_t P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100, NX = uint64_t{1} << 63;

struct DeafHandler : memory::IoHandler {
  std::vector<uint64_t> writes;
  uint64_t io_read(uint64_t offset, unsigned) override { return 0x11 * (offset + 1); }
  void io_write(uint64_t offset, unsigned, uint64_t value) override {
    writes.push_back(offset << 32 | value);
  }
};

struct PagingTest : ::testing::Test {
  std::recursive_mutex lock;
  std::unique_ptr<memory::RamBlock> ram = std::move(*memory::RamBlock::create("ram", kRamBytes));
  std::unique_ptr<memory::RamBlock> rom = std::move(*memory::RamBlock::create("rom", 0x10000));
  memory::AddressSpace space{"memory", lock};
  DeafHandler io;
  Core core;
  CpuState& s = core.s;
  Translation t;

  PagingTest() {
    EXPECT_TRUE(space.map_ram(Gpa{0}, *ram, 0, kRamBytes));
    EXPECT_TRUE(space.map_ram(Gpa{0xfff00000}, *rom, 0, 0x10000, memory::RamAccess::ReadOnly));
    EXPECT_TRUE(space.map_io(Gpa{0xc0000000}, 0x1000, io));
    core.memory = &space;
    paging_create(core);
  }
  ~PagingTest() override { paging_destroy(core); }

  template <class T>
  T peek(uint64_t gpa) {
    T v;
    std::memcpy(&v, ram->host() + gpa, sizeof(T));
    return v;
  }
  template <class T>
  void poke(uint64_t gpa, T v) {
    std::memcpy(ram->host() + gpa, &v, sizeof(T));
  }
  void poke64(uint64_t gpa, uint64_t v) { poke<uint64_t>(gpa, v); }
  void poke32(uint64_t gpa, uint64_t v) { poke<uint32_t>(gpa, static_cast<uint32_t>(v)); }

  void long_mode(bool la57 = false) {
    s.cr0 = cr0::PE | cr0::PG | cr0::WP;
    s.cr4 = cr4::PAE | (la57 ? cr4::LA57 : 0);
    s.efer = efer::LME | efer::LMA | efer::NXE;
  }
  // Tables at 0x1000 (top), 0x2000, …, one a level; `linear` is mapped to `gpa` with `leaf` at `leaf_level`.
  void map64(uint64_t linear, uint64_t gpa, uint64_t leaf, unsigned leaf_level = 1,
             uint64_t upper = P | W | U, unsigned levels = 4, uint64_t tables = 0x1000) {
    uint64_t table = tables;
    s.cr3 = (s.cr3 & 0xfff) | tables;
    for (unsigned level = levels; level > leaf_level; --level) {
      uint64_t next = table + 0x1000;
      poke64(table + (linear >> (3 + 9 * level) & 0x1ff) * 8, next | upper);
      table = next;
    }
    poke64(table + (linear >> (3 + 9 * leaf_level) & 0x1ff) * 8, gpa | leaf | (leaf_level > 1 ? PS : 0));
  }

  bool go(uint64_t linear, Access access = Access::Read, Privilege privilege = Privilege::Supervisor) {
    core.fault = {};
    return translate(core, linear, access, privilege, t);
  }
  uint32_t fault_of(uint64_t linear, Access access = Access::Read,
                    Privilege privilege = Privilege::Supervisor) {
    EXPECT_FALSE(go(linear, access, privilege));
    EXPECT_EQ(core.fault.vector, vec::PF);
    EXPECT_EQ(core.fault.address, linear);
    return core.fault.code;
  }
};

// ---- rights: every combination against the rules of SDM vol. 3A 4.6 written down once more ----

enum class Shape { Legacy4K, Legacy4M, Pae4K, Pae2M, Long4K, Long2M, Long1G, La57 };
constexpr Shape kShapes[] = {Shape::Legacy4K, Shape::Legacy4M, Shape::Pae4K,  Shape::Pae2M,
                             Shape::Long4K,   Shape::Long2M,   Shape::Long1G, Shape::La57};
constexpr uint64_t kLinear = 0x40201000;

struct Case {
  bool upper_user, upper_write, upper_nx, user, write, nx;  // flags of the tables and of the leaf
  bool wp, smep, smap, ac, nxe, key_ad, key_wd;
};

struct Outcome {
  bool ok;
  uint32_t code;
};

Outcome expected(Shape shape, const Case& k, Access access, Privilege privilege) {
  bool legacy = shape == Shape::Legacy4K || shape == Shape::Legacy4M;
  bool is_long = shape >= Shape::Long4K;
  bool one_level = shape == Shape::Legacy4M || shape == Shape::Pae2M;
  bool has_upper = !one_level;
  bool user_page = k.user && (k.upper_user || !has_upper);
  bool writable = k.write && (k.upper_write || !has_upper);
  bool any_nx = !legacy && (k.nx || (has_upper && k.upper_nx));
  bool user = privilege == Privilege::User;
  bool fetch = access == Access::Fetch;
  bool write = access == Access::Write;
  uint32_t code = (write ? 2u : 0) | (user ? 4u : 0) | (fetch && ((k.nxe && !legacy) || k.smep) ? 16u : 0);
  if (any_nx && !k.nxe) return {false, code | 9};
  bool denied = false;
  if (fetch) {
    denied = user ? !user_page : (user_page && k.smep);
    if (any_nx) denied = true;
  } else if (user) {
    denied = !user_page || (write && !writable);
  } else {
    bool smap_blocks = k.smap && user_page && (privilege == Privilege::Implicit || !k.ac);
    denied = smap_blocks || (write && k.wp && !writable);
  }
  bool key = is_long && user_page && !fetch && (k.key_ad || (k.key_wd && write && (user || k.wp)));
  if (!denied && !key) return {true, 0};
  return {false, code | 1 | (key ? 32u : 0)};
}

struct RightsTest : PagingTest, ::testing::WithParamInterface<int> {
  void build(Shape shape, const Case& k) {
    uint64_t up = P | (k.upper_user ? U : 0) | (k.upper_write ? W : 0) | (k.upper_nx ? NX : 0);
    uint64_t leaf = P | (k.user ? U : 0) | (k.write ? W : 0);
    uint64_t nx = k.nx ? NX : 0;
    uint64_t key = uint64_t{5} << 59;
    s.cr0 = cr0::PE | cr0::PG | (k.wp ? cr0::WP : 0);
    s.cr4 = (k.smep ? cr4::SMEP : 0) | (k.smap ? cr4::SMAP : 0) | cr4::PSE | cr4::PKE;
    s.efer = k.nxe ? efer::NXE : 0;
    s.system_flags = k.ac ? rflags::AC : 0;
    s.pkru = (k.key_ad ? 1u << 10 : 0) | (k.key_wd ? 1u << 11 : 0);
    s.cr3 = 0x1000;
    switch (shape) {
      case Shape::Legacy4K:
        poke32(0x1000 + (kLinear >> 22) * 4, 0x2000 | (up & 0xfff));
        poke32(0x2000 + (kLinear >> 12 & 0x3ff) * 4, 0x5000 | leaf);
        break;
      case Shape::Legacy4M: poke32(0x1000 + (kLinear >> 22) * 4, 0x400000 | leaf | PS); break;
      case Shape::Pae4K:
      case Shape::Pae2M:
        s.cr4 |= cr4::PAE;
        s.pdpte[1] = 0x2000 | P;
        if (shape == Shape::Pae4K) {
          poke64(0x2000 + (kLinear >> 21 & 0x1ff) * 8, 0x3000 | up);
          poke64(0x3000 + (kLinear >> 12 & 0x1ff) * 8, 0x5000 | leaf | nx);
        } else {
          poke64(0x2000 + (kLinear >> 21 & 0x1ff) * 8, 0x400000 | leaf | nx | PS);
        }
        break;
      default: {
        s.cr4 |= cr4::PAE | (shape == Shape::La57 ? cr4::LA57 : 0);
        s.efer |= efer::LME | efer::LMA;
        unsigned level = shape == Shape::Long2M ? 2 : shape == Shape::Long1G ? 3 : 1;
        uint64_t gpa = level == 3 ? 0x40000000 : level == 2 ? 0x400000 : 0x5000;
        map64(kLinear, gpa, leaf | nx | key, level, up, shape == Shape::La57 ? 5 : 4);
      }
    }
  }
};

std::string describe(Shape shape, const Case& k, Access a, Privilege p) {
  std::string out = "shape " + std::to_string(static_cast<int>(shape));
  const char* names[] = {"upper_user", "upper_write", "upper_nx", "user", "write", "nx", "wp",
                         "smep",       "smap",        "ac",       "nxe",  "ad",    "wd"};
  const bool bits[] = {k.upper_user, k.upper_write, k.upper_nx, k.user, k.write,  k.nx,    k.wp,
                       k.smep,       k.smap,        k.ac,       k.nxe,  k.key_ad, k.key_wd};
  for (int i = 0; i < 13; ++i) {
    if (bits[i]) out += std::string(" ") + names[i];
  }
  return out + " access " + std::to_string(static_cast<int>(a)) + " privilege " +
         std::to_string(static_cast<int>(p));
}

TEST_P(RightsTest, walk_and_hit_follow_the_rules) {
  Shape shape = kShapes[GetParam()];
  unsigned failures = 0;
  for (unsigned n = 0; n < 1u << 13 && failures < 5; ++n) {
    auto bit = [n](unsigned i) { return (n >> i & 1) != 0; };
    Case k{bit(0), bit(1), bit(2), bit(3),  bit(4),  bit(5), bit(6),
           bit(7), bit(8), bit(9), bit(10), bit(11), bit(12)};
    build(shape, k);
    paging_flush_all(core);
    for (Access a : {Access::Read, Access::Write, Access::Fetch}) {
      for (Privilege p : {Privilege::User, Privilege::Supervisor, Privilege::Implicit}) {
        if (p == Privilege::Implicit && a == Access::Fetch) continue;
        Outcome want = expected(shape, k, a, p);
        for (int round = 0; round < 2; ++round) {  // a walk, then whatever the TLB holds by now
          bool ok = go(kLinear, a, p);
          if (ok == want.ok && (ok || core.fault.code == want.code)) continue;
          ++failures;
          ADD_FAILURE() << describe(shape, k, a, p) << " round " << round << ": got " << ok << " code "
                        << core.fault.code << ", expected " << want.ok << " code " << want.code;
        }
        EXPECT_TRUE(!want.ok || a != Access::Write || t.write_ok);
        EXPECT_TRUE(!want.ok || a != Access::Fetch || t.exec_ok);
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Modes, RightsTest, ::testing::Range(0, 8));

// ---- addresses, sizes, reserved bits ----

TEST_F(PagingTest, without_paging_linear_is_physical) {
  EXPECT_TRUE(go(0x123456789));
  EXPECT_EQ(t.gpa, 0x23456789u);
  s.a20_masked = 1;
  EXPECT_TRUE(go(0x100010));
  EXPECT_EQ(t.gpa, 0x10u);
}

TEST_F(PagingTest, sizes_and_offsets) {
  long_mode();
  map64(0xffff800000201234, 0x5000, P | W);
  EXPECT_TRUE(go(0xffff800000201234));
  EXPECT_EQ(t.gpa, 0x5234u);
  EXPECT_EQ(t.page_bytes, 4096u);
  map64(0x40000000, 0x600000, P | W, 2);
  EXPECT_TRUE(go(0x40012345));
  EXPECT_EQ(t.gpa, 0x612345u);
  EXPECT_EQ(t.page_bytes, 2u << 20);
  map64(0x80000000, 0x40000000, P | W, 3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(go(0x92345678));
    EXPECT_EQ(t.gpa, 0x52345678u);
    EXPECT_EQ(t.page_bytes, 1u << 30);
  }
  s.a20_masked = 1;
  EXPECT_TRUE(go(0x92345678));
  EXPECT_EQ(t.gpa, 0x52245678u);
}

TEST_F(PagingTest, pse36_reaches_beyond_4_gib) {
  s.cr0 = cr0::PE | cr0::PG;
  s.cr4 = cr4::PSE;
  s.cr3 = 0x1000;
  poke32(0x1000 + 4, 0x00c00000 | 0x5a << 13 | P | PS);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(go(0x754321));
    EXPECT_EQ(t.gpa, 0x5a00f54321u);
    EXPECT_EQ(t.page_bytes, 4u << 20);
  }
  core.phys_bits = 36;
  paging_flush_all(core);
  EXPECT_EQ(fault_of(0x754321), 9u);
  poke32(0x1000 + 4, 0x00c00000 | 1 << 21 | P | PS);
  EXPECT_EQ(fault_of(0x754321), 9u);
  s.cr4 = 0;  // without PSE the bit is ignored and this is a table
  poke32(0x1000 + 4, 0x2000 | P | PS);
  poke32(0x2000 + (0x754321 >> 12 & 0x3ff) * 4, 0x7000 | P);
  EXPECT_TRUE(go(0x754321));
  EXPECT_EQ(t.gpa, 0x7321u);
}

TEST_F(PagingTest, reserved_bits_fault) {
  long_mode();
  for (unsigned bit = 40; bit < 52; ++bit) {
    map64(0x1000, 0x5000 | uint64_t{1} << bit, P);
    EXPECT_EQ(fault_of(0x1000), 9u) << bit;
  }
  map64(0x1000, 0x5000, P);
  for (unsigned bit = 52; bit < 63; ++bit) {
    map64(0x1000, 0x5000 | uint64_t{1} << bit, P);
    EXPECT_TRUE(go(0x1000)) << bit;
    paging_flush_all(core);
  }
  map64(0, 0x600000 | 1 << 13, P, 2);
  EXPECT_EQ(fault_of(0), 9u);
  map64(0, 0x40000000 | 1 << 29, P, 3);
  EXPECT_EQ(fault_of(0), 9u);
  map64(0, 0x40000000, P, 3);
  core.gigabyte_pages = false;
  EXPECT_EQ(fault_of(0), 9u);
  map64(0x1000, 0x5000, P, 1, P | PS);  // PML4E with PS
  EXPECT_EQ(fault_of(0x1000, Access::Write, Privilege::User), 15u);
  s.efer &= ~efer::NXE;
  map64(0x1000, 0x5000, P | NX);
  EXPECT_EQ(fault_of(0x1000, Access::Fetch), 9u);
}

TEST_F(PagingTest, pae_reserves_the_high_bits_and_loads_pdptes) {
  s.cr0 = cr0::PE | cr0::PG;
  s.cr4 = cr4::PAE;
  poke64(0x1020, 0x2000 | P);
  poke64(0x1028, 0x2000 | P | U);  // reserved
  EXPECT_FALSE(load_pdptes(core, 0x1020));
  EXPECT_EQ(core.fault.vector, vec::GP);
  EXPECT_EQ(s.pdpte[0], 0u);
  poke64(0x1028, U);  // not present: anything goes
  EXPECT_TRUE(load_pdptes(core, 0x1020));
  poke64(0x2000, 0x3000 | P | W);
  poke64(0x3000, 0x5000 | P | uint64_t{1} << 52);
  EXPECT_EQ(fault_of(0), 9u);
  poke64(0x3000, 0x5000 | P);
  EXPECT_TRUE(go(0x10));
  EXPECT_EQ(t.gpa, 0x5010u);
  EXPECT_EQ(fault_of(0x40000000), 0u);
}

TEST_F(PagingTest, canonical_or_general_protection) {
  long_mode();
  EXPECT_FALSE(go(0x800000000000));
  EXPECT_EQ(core.fault.vector, vec::GP);
  EXPECT_FALSE(translate(core, 0x800000000000, Access::Read, Privilege::Supervisor, t, true));
  EXPECT_EQ(core.fault.vector, vec::SS);
  long_mode(true);
  map64(0x800000000000, 0x5000, P, 1, P | W | U, 5);
  EXPECT_TRUE(go(0x800000000000));
  EXPECT_FALSE(go(uint64_t{1} << 56));
}

// ---- accessed and dirty ----

TEST_F(PagingTest, accessed_and_dirty_are_set_as_the_access_demands) {
  long_mode();
  map64(0x1000, 0x5000, P | W);
  EXPECT_TRUE(go(0x1000));
  EXPECT_FALSE(t.write_ok);
  EXPECT_EQ(peek<uint64_t>(0x1000) & (A | D), A);
  EXPECT_EQ(peek<uint64_t>(0x4000 + 8) & (A | D), A);
  EXPECT_TRUE(go(0x1000, Access::Write));
  EXPECT_TRUE(t.write_ok);
  EXPECT_EQ(peek<uint64_t>(0x4000 + 8) & (A | D), A | D);
  EXPECT_EQ(peek<uint64_t>(0x3000) & D, 0u);
}

TEST_F(PagingTest, a_denied_access_leaves_the_leaf_alone) {
  long_mode();
  map64(0x1000, 0x5000, P | W);
  EXPECT_EQ(fault_of(0x1000, Access::Write, Privilege::User), 7u);
  EXPECT_EQ(peek<uint64_t>(0x4000 + 8) & (A | D), 0u);
}

TEST_F(PagingTest, tables_in_rom_and_io_are_walked) {
  long_mode();
  map64(0x1000, 0x5000, P | W);
  uint64_t entry = 0x5000 | P | W;
  std::memcpy(rom->host() + 8, &entry, 8);
  poke64(0x3000, 0xfff00000 | P | W);
  EXPECT_TRUE(go(0x1000, Access::Write));
  EXPECT_EQ(t.gpa, 0x5000u);
  uint64_t now;
  std::memcpy(&now, rom->host() + 8, 8);
  EXPECT_EQ(now, entry);
  poke64(0x3000, 0xd0000000 | P | W);  // nothing there: all ones has reserved bits
  paging_flush_all(core);
  EXPECT_EQ(fault_of(0x1000), 9u);
}

TEST_F(PagingTest, debuggers_see_the_tables_and_leave_no_trace) {
  uint64_t gpa = 0;
  EXPECT_TRUE(debug_translate(core, 0x123456, gpa));
  EXPECT_EQ(gpa, 0x123456u);
  long_mode();
  s.cr4 |= cr4::SMAP;
  map64(0x201234, 0x5000, P | U);
  EXPECT_TRUE(debug_translate(core, 0x201234, gpa));
  EXPECT_EQ(gpa, 0x5234u);
  EXPECT_EQ(peek<uint64_t>(0x1000) & A, 0u);
  map64(0x201234, 0x6000, P | U);  // no invalidation needed
  EXPECT_TRUE(debug_translate(core, 0x201234, gpa));
  EXPECT_EQ(gpa, 0x6234u);
  EXPECT_FALSE(debug_translate(core, 0x202000, gpa));
  EXPECT_FALSE(debug_translate(core, 0x800000000000, gpa));
  map64(0, 0x40000000, P, 3);
  EXPECT_TRUE(debug_translate(core, 0x12345678, gpa));
  EXPECT_EQ(gpa, 0x52345678u);
  s.efer = 0;
  s.cr4 = cr4::PAE;
  s.cr3 = 0x1020;
  poke64(0x1020 + 8, 0x2000 | P);
  poke64(0x2000, 0x600000 | P | PS);
  EXPECT_TRUE(debug_translate(core, 0x40000123, gpa));
  EXPECT_EQ(gpa, 0x600123u);
  s.cr4 = cr4::PSE;
  s.cr3 = 0x1000;
  poke32(0x1000 + 4, 0x00c00000 | 1 << 13 | P | PS);
  EXPECT_TRUE(debug_translate(core, 0x754321, gpa));
  EXPECT_EQ(gpa, 0x100f54321u);
}

// ---- the TLB ----

TEST_F(PagingTest, stale_rights_are_not_believed_but_stale_frames_are) {
  long_mode();
  map64(0x1000, 0x5000, P);
  EXPECT_EQ(fault_of(0x1000, Access::Write), 3u);
  map64(0x1000, 0x5000, P | W);
  EXPECT_TRUE(go(0x1000, Access::Write));
  poke64(0x4000 + 8, 0x6000 | P | W);
  EXPECT_TRUE(go(0x1000));
  EXPECT_EQ(t.gpa, 0x5000u);
  paging_flush_page(core, 0x1fff);
  EXPECT_TRUE(go(0x1000));
  EXPECT_EQ(t.gpa, 0x6000u);
}

TEST_F(PagingTest, pcids_keep_their_own_and_share_globals) {
  long_mode();
  s.cr4 |= cr4::PCIDE | cr4::PGE;
  s.cr3 = 1;
  map64(0x1000, 0x5000, P);
  poke64(0x4000 + 16, 0x7000 | P | G);
  EXPECT_TRUE(go(0x1000));
  EXPECT_TRUE(go(0x2000));
  EXPECT_TRUE(t.global);
  s.cr3 = 2;
  map64(0x1000, 0x6000, P, 1, P | W | U, 4, 0x10000);
  EXPECT_TRUE(go(0x1000));
  EXPECT_EQ(t.gpa, 0x6000u);
  EXPECT_TRUE(go(0x2000));  // only there as a global
  EXPECT_EQ(t.gpa, 0x7000u);
  poke64(0x4000 + 8, 0);
  s.cr3 = 0x1000 | 1;
  EXPECT_TRUE(go(0x1000));
  EXPECT_EQ(t.gpa, 0x5000u);
  paging_flush_non_global(core, 1);
  EXPECT_EQ(fault_of(0x1000), 0u);
  poke64(0x4000 + 16, 0);
  EXPECT_TRUE(go(0x2000));
  paging_flush_page(core, 0x2000);
  EXPECT_EQ(fault_of(0x2000), 0u);
  s.cr3 = 0x10000 | 2;
  poke64(0x13000 + 8, 0);
  EXPECT_TRUE(go(0x1000));
  paging_flush_all(core);
  EXPECT_EQ(fault_of(0x1000), 0u);
}

TEST_F(PagingTest, invpcid_types) {
  long_mode();
  s.cr4 |= cr4::PCIDE | cr4::PGE;
  auto refill = [&] {
    paging_flush_all(core);
    for (uint64_t pcid : {uint64_t{1}, uint64_t{2}}) {
      s.cr3 = pcid;
      map64(0x1000, 0x5000, P);
      poke64(0x4000 + 16, 0x7000 | P | G);
      poke64(0x4000 + 24, 0x8000 | P);
      for (uint64_t page : {0x1000, 0x2000, 0x3000}) EXPECT_TRUE(go(page));
    }
    for (unsigned i = 1; i < 4; ++i) poke64(0x4000 + 8 * i, 0);
  };
  auto cached = [&](uint64_t pcid, uint64_t page) {
    s.cr3 = 0x1000 | pcid;
    return go(page);
  };
  refill();
  EXPECT_TRUE(invpcid(core, 0, 1, 0x1000));
  EXPECT_FALSE(cached(1, 0x1000));
  EXPECT_TRUE(cached(1, 0x3000));
  EXPECT_TRUE(cached(2, 0x1000));
  EXPECT_TRUE(invpcid(core, 0, 1, 0x2000));  // spares globals
  EXPECT_TRUE(cached(1, 0x2000));
  refill();
  EXPECT_TRUE(invpcid(core, 1, 1, 0));
  EXPECT_FALSE(cached(1, 0x3000));
  EXPECT_TRUE(cached(1, 0x2000));
  EXPECT_TRUE(cached(2, 0x3000));
  refill();
  EXPECT_TRUE(invpcid(core, 3, 0, 0));
  EXPECT_FALSE(cached(1, 0x1000));
  EXPECT_FALSE(cached(2, 0x1000));
  EXPECT_TRUE(cached(2, 0x2000));
  refill();
  EXPECT_TRUE(invpcid(core, 2, 0, 0));
  EXPECT_FALSE(cached(2, 0x2000));
  EXPECT_FALSE(invpcid(core, 4, 0, 0));
  EXPECT_FALSE(invpcid(core, 1, 0x1000, 0));
  EXPECT_FALSE(invpcid(core, 0, 1, 0x800000000000));
  s.cr4 &= ~cr4::PCIDE;
  EXPECT_FALSE(invpcid(core, 1, 1, 0));
  EXPECT_TRUE(invpcid(core, 2, 1, 0));
}

TEST_F(PagingTest, invlpg_drops_the_whole_large_page) {
  s.cr0 = cr0::PE | cr0::PG;
  s.cr4 = cr4::PSE;
  s.cr3 = 0x1000;
  poke32(0x1000 + 4, 0x00400000 | P | PS);
  EXPECT_TRUE(go(0x400000));
  EXPECT_TRUE(go(0x700000));
  poke32(0x1000 + 4, 0);
  EXPECT_TRUE(go(0x400000));
  paging_flush_page(core, 0x7ff000);
  EXPECT_FALSE(go(0x400000));
  EXPECT_FALSE(go(0x700000));
  long_mode();
  map64(0, 0x40000000, P, 3);
  EXPECT_TRUE(go(0x12345678));
  poke64(0x2000, 0);
  EXPECT_TRUE(go(0x3fffffff));
  paging_flush_page(core, 0x1000);
  EXPECT_FALSE(go(0x12345678));
}

TEST_F(PagingTest, a_mode_change_drops_what_it_changes) {
  long_mode();
  s.cr4 |= cr4::PGE;
  map64(0x1000, 0x5000, P | G);
  EXPECT_TRUE(go(0x1000));
  poke64(0x4000 + 8, 0);
  EXPECT_TRUE(go(0x1000));
  s.cr4 &= ~cr4::PGE;
  EXPECT_FALSE(go(0x1000));
}

TEST_F(PagingTest, many_pages_in_one_set_stay_right) {
  long_mode();
  for (uint64_t i = 0; i < 40; ++i) {
    uint64_t linear = i << 21;  // same set of the small array
    poke64(0x1000, 0x2000 | P | W);
    poke64(0x2000, 0x3000 | P | W);
    poke64(0x3000 + i * 8, (0x100000 + i * 0x1000) | P | W);
    poke64(0x100000 + i * 0x1000, (0x200000 + i * 0x1000) | P | W);
    s.cr3 = 0x1000;
    EXPECT_TRUE(go(linear | 5));
  }
  for (uint64_t round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < 40; ++i) {
      EXPECT_TRUE(go(i << 21 | 5, Access::Write));
      EXPECT_EQ(t.gpa, 0x200005 + i * 0x1000);
    }
  }
}

// ---- accessors ----

TEST_F(PagingTest, accesses_cross_pages_and_check_both_first) {
  long_mode();
  map64(0x1000, 0x5000, P | W);
  poke64(0x4000 + 16, 0x9000 | P | W);
  uint64_t v = 0x1122334455667788;
  EXPECT_TRUE(write_linear(core, 0x1ffd, v, Privilege::Supervisor));
  EXPECT_EQ(peek<uint16_t>(0x5ffd), 0x7788);
  EXPECT_EQ(peek<uint32_t>(0x9000), 0x22334455u);
  uint64_t back = 0;
  EXPECT_TRUE(read_linear(core, 0x1ffd, back, Privilege::Supervisor));
  EXPECT_EQ(back, v);
  poke64(0x4000 + 16, 0);
  paging_flush_all(core);
  EXPECT_FALSE(write_linear(core, 0x1ffd, uint64_t{0}, Privilege::Supervisor));
  EXPECT_EQ(core.fault.address, 0x2000u);
  EXPECT_EQ(peek<uint16_t>(0x5ffd), 0x7788);
  uint8_t big[64];
  for (unsigned i = 0; i < 64; ++i) big[i] = static_cast<uint8_t>(i);
  EXPECT_TRUE(write_linear(core, 0x1301, big, 63, Privilege::Supervisor));
  EXPECT_EQ(std::memcmp(ram->host() + 0x5301, big, 63), 0);
  EXPECT_EQ(peek<uint8_t>(0x5301 + 63), 0);
}

TEST_F(PagingTest, io_and_void_and_rom) {
  uint32_t v = 0;
  EXPECT_TRUE(read_linear(core, 0xc0000004, v, Privilege::Supervisor));
  EXPECT_EQ(v, 0x55u);
  EXPECT_TRUE(write_linear(core, 0xc0000008, uint32_t{7}, Privilege::Supervisor));
  EXPECT_EQ(io.writes, std::vector<uint64_t>{uint64_t{8} << 32 | 7});
  EXPECT_EQ(read_physical(core, 0xd0000000, 4), 0xffffffffu);
  EXPECT_EQ(read_physical(core, 0xd0000000, 8), ~uint64_t{0});
  write_physical(core, 0xfff00010, 4, 5);
  EXPECT_EQ(read_physical(core, 0xfff00010, 4), 0u);
  write_physical(core, 0x10, 2, 0x12345);
  EXPECT_EQ(peek<uint32_t>(0x10), 0x2345u);
}

TEST_F(PagingTest, code_pages_hear_of_stores) {
  struct Listener : memory::CodeListener {
    uint64_t offset = 0, length = 0;
    void code_written(memory::RamBlock&, uint64_t o, uint64_t n) override {
      offset = o;
      length = n;
    }
  } listener;
  memory::RamBlock::set_code_listener(&listener);
  ram->set_page_has_code(5, true);
  EXPECT_TRUE(write_linear(core, 0x4ffe, uint32_t{1}, Privilege::Supervisor));
  EXPECT_GE(listener.offset + listener.length, 0x5002u);
  listener = {};
  EXPECT_TRUE(write_linear(core, 0x6000, uint32_t{1}, Privilege::Supervisor));
  EXPECT_EQ(listener.length, 0u);
  ram->set_page_has_code(5, false);
  memory::RamBlock::set_code_listener(nullptr);
}

TEST_F(PagingTest, the_view_is_looked_at_afresh_when_told) {
  write_physical(core, 0x1000, 4, 1);
  auto id = space.map_ram(Gpa{0x1000}, *rom, 0x8000, 0x1000, memory::RamAccess::ReadWrite, 1);
  ASSERT_TRUE(id);
  paging_memory_changed(core);
  write_physical(core, 0x1000, 4, 2);
  EXPECT_EQ(peek<uint32_t>(0x1000), 1u);
  EXPECT_EQ(rom->host()[0x8000], 2);
}

}  // namespace
}  // namespace rhea::cpu
