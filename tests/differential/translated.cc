#include "translated.h"

#include <cstring>
#include <mutex>

#include "base/check.h"
#include "cpu/cpuid.h"
#include "cpu/models/cpu_model.h"
#include "cpu/models/feature_info.h"
#include "cpu/paging.h"
#include "engine/dbt/engine.h"
#include "memory/address_space.h"
#include "memory/ram_block.h"

namespace rhea::differential {

namespace {

namespace attr = cpu::attr;

// Guest physical memory.
constexpr uint64_t kRamBytes = 4 << 20;
constexpr uint64_t kNoExec = uint64_t{1} << 63;
constexpr uint64_t kTables = 0x1000;  // PML4, PDPT, PD, three page tables
constexpr uint64_t kCodePhysical = 0x100000, kWindowPhysical = 0x110000, kSystemPhysical = 0x200000;
// Supervisor-only, linear.
constexpr uint64_t kSystem = 0xffff800030000000;  // where the host has its kernel
constexpr unsigned kSystemPages = 4;
constexpr uint64_t kIdt = kSystem, kGdt = kSystem + 0x1000, kLdt = kSystem + 0x1200, kTss = kSystem + 0x1400,
                   kStubs = kSystem + 0x2000, kStackTop = kSystem + 0x4000;

constexpr uint16_t kKernelCode = 0x10, kKernelData = 0x18, kTssSelector = 0x40, kLdtSelector = 0x50;

uint64_t descriptor(uint64_t base, uint32_t limit, uint32_t attributes) {
  return (limit & 0xffff) | (base & 0xffffff) << 16 | uint64_t{attributes & 0xff} << 40 |
         uint64_t{limit >> 16 & 0xf} << 48 | uint64_t{attributes >> 12 & 0xf} << 52 |
         (base >> 24 & 0xff) << 56;
}

constexpr uint32_t kUser = 3 << attr::kDplShift;
constexpr uint32_t kData = attr::kPresent | attr::kS | attr::kWritable | attr::kAccessed;
constexpr uint32_t kCode = attr::kPresent | attr::kS | attr::kCode | attr::kReadable | attr::kAccessed;

struct Entry {
  uint16_t selector;
  uint64_t base;
  uint32_t limit;  // bytes, or pages less one when granular
  uint32_t attributes;
};

// As Linux lays out its GDT; the limit of kPerCpu is told by native.cc.
constexpr Entry kGdtEntries[] = {
    {kKernelCode, 0, 0xfffff, kCode | attr::kLong | attr::kGranular},
    {kKernelData, 0, 0xfffff, kData | attr::kBig | attr::kGranular},
    {kUserCode32, 0, 0xfffff, kCode | kUser | attr::kBig | attr::kGranular},
    {kUserData, 0, 0xfffff, kData | kUser | attr::kBig | attr::kGranular},
    {kUserCode64, 0, 0xfffff, kCode | kUser | attr::kLong | attr::kGranular},
    {kPerCpu, 0, 0, ((kData | kUser) & ~attr::kWritable) | attr::kExpandDown | attr::kBig},
};

Entry local(const ldt::Entry& e) {
  uint32_t type = kUser | (e.kind == ldt::Kind::Code || e.kind == ldt::Kind::ExecuteOnly ? kCode : kData);
  if (e.kind == ldt::Kind::ReadOnly) type &= ~attr::kWritable;
  if (e.kind == ldt::Kind::ExecuteOnly) type &= ~attr::kReadable;
  if (e.kind == ldt::Kind::ExpandDown) type |= attr::kExpandDown;
  if (e.big) type |= attr::kBig;
  if (e.pages) type |= attr::kGranular;
  if (!e.present) type &= ~attr::kPresent;
  return {e.selector, e.base, e.limit, type};
}

Entry entry(uint16_t selector) {
  for (const Entry& e : kGdtEntries) {
    if (e.selector == selector) return e;
  }
  for (const ldt::Entry& e : ldt::kEntries) {
    if (e.selector == selector) return local(e);
  }
  return {selector, 0, 0, attr::kUnusable};  // null
}

cpu::Segment segment(uint16_t selector) {
  const Entry e = entry(selector);
  bool granular = (e.attributes & attr::kGranular) != 0;
  return {.base = e.base,
          .limit = granular ? (e.limit << 12 | 0xfff) : e.limit,
          .attr = e.attributes,
          .selector = selector,
          .pad = {}};
}

bool has_error_code(unsigned vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

}  // namespace

struct Translated::Impl {
  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram;
  std::shared_ptr<dbt::DbtShared> shared;
  std::unique_ptr<cpu::Engine> engine;
  std::unique_ptr<cpu::CpuModel> model;
  uint64_t last_offset = 0, last_size = 0;

  uint8_t* at(uint64_t gpa) { return ram->host() + gpa; }
  template <class T>
  void put(uint64_t gpa, T value) {
    std::memcpy(at(gpa), &value, sizeof value);
  }
  template <class T>
  T get(uint64_t gpa) {
    T value;
    std::memcpy(&value, at(gpa), sizeof value);
    return value;
  }

  // One page table for each of our regions, the last one behind a hierarchy of its own in the upper half.
  void map_pages(uint64_t linear, uint64_t physical, unsigned count, uint64_t rights) {
    bool upper = linear >> 63 != 0;
    uint64_t directory = kTables + (upper ? 0x7000 : 0x1000), index = linear >> 28 & 0xf;
    uint64_t table = kTables + 0x3000 + index * 0x1000;
    put<uint64_t>(kTables + (linear >> 39 & 511) * 8, directory | 7);
    put<uint64_t>(directory + (linear >> 30 & 511) * 8, (directory + 0x1000) | 7);
    put<uint64_t>(directory + 0x1000 + (linear >> 21 & 511) * 8, table | 7);
    for (unsigned i = 0; i < count; ++i) {
      put<uint64_t>(table + ((linear >> 12) + i) % 512 * 8, (physical + i * 0x1000) | rights | 0x61);
    }
  }

  static uint64_t system_physical(uint64_t linear) { return linear - kSystem + kSystemPhysical; }

  void make_memory() {
    map_pages(layout::kCode, kCodePhysical, layout::kCodeBytes / layout::kPage, 4);
    map_pages(layout::kWritable, kWindowPhysical, layout::kWritablePages, kNoExec | 6);
    map_pages(layout::kReadOnly, kWindowPhysical + layout::kWritablePages * layout::kPage, 1, kNoExec | 4);
    map_pages(kSystem, kSystemPhysical, kSystemPages, 2);
    for (const Entry& e : kGdtEntries) put_descriptor(kGdt, e);
    for (const ldt::Entry& e : ldt::kEntries) put_descriptor(kLdt, local(e));
    put(system_physical(kGdt) + kTssSelector, descriptor(kTss, 0x67, attr::kPresent | 0xb));
    put(system_physical(kGdt) + kTssSelector + 8, kTss >> 32);
    put(system_physical(kGdt) + kLdtSelector, descriptor(kLdt, ldt::kLimit, attr::kPresent | 2));
    put(system_physical(kGdt) + kLdtSelector + 8, kLdt >> 32);
    put<uint64_t>(system_physical(kTss) + 4, kStackTop);
    put<uint16_t>(system_physical(kTss) + 0x66, 0x68);
    for (unsigned v = 0; v < 32; ++v) {
      uint64_t stub = kStubs + v * 16;
      *at(system_physical(stub)) = 0xf4;  // HLT
      uint64_t gate = v == 3 || v == 4 ? 0xee00 : 0x8e00;
      uint64_t low = (stub & 0xffff) | uint64_t{kKernelCode} << 16 | gate << 32 | (stub >> 16 & 0xffff) << 48;
      put(system_physical(kIdt) + v * 16, low);
      put(system_physical(kIdt) + v * 16 + 8, stub >> 32);
    }
  }

  void make_core() {
    cpu::Core& c = engine->core();
    c.memory = &memory;
    c.ports = &ports;
    cpu::CpuState& s = c.s;
    s.cr0 = cpu::cr0::PE | cpu::cr0::PG | cpu::cr0::WP | cpu::cr0::NE | cpu::cr0::MP | cpu::cr0::AM |
            cpu::cr0::ET;
    s.cr4 = cpu::cr4::PAE | cpu::cr4::OSFXSR | cpu::cr4::OSXMMEXCPT | cpu::cr4::OSXSAVE | cpu::cr4::FSGSBASE |
            cpu::cr4::PGE;
    s.cr3 = kTables;
    s.efer = cpu::efer::SCE | cpu::efer::LME | cpu::efer::LMA | cpu::efer::NXE;
    s.xcr0 = model->table().xcr0_allowed & 0xe7;
    s.gdtr = {.base = kGdt, .limit = 0x7f, .pad = 0};
    s.idtr = {.base = kIdt, .limit = 32 * 16 - 1, .pad = 0};
    s.seg[cpu::TR] = {
        .base = kTss, .limit = 0x67, .attr = attr::kPresent | 0xb, .selector = kTssSelector, .pad = {}};
    s.seg[cpu::LDTR] = {
        .base = kLdt, .limit = ldt::kLimit, .attr = attr::kPresent | 2, .selector = kLdtSelector, .pad = {}};
  }

  void put_descriptor(uint64_t table, const Entry& e) {
    put(system_physical(table) + (e.selector & 0xfff8u), descriptor(e.base, e.limit, e.attributes));
  }

  void set_segments(const Registers& r) {
    static constexpr unsigned kIndex[6] = {cpu::ES, cpu::CS, cpu::SS, cpu::DS, cpu::FS, cpu::GS};
    cpu::CpuState& s = engine->core().s;
    for (unsigned i = 0; i < 6; ++i) s.seg[kIndex[i]] = segment(r.selector[i]);
    s.seg[cpu::FS].base = r.fs_base;
    s.seg[cpu::GS].base = r.gs_base;
    s.cpl = 3;
  }

  // Only what differs from the case before, so that translated code of other pages stays.
  void put_code(const Case& c) {
    uint8_t* page = at(kCodePhysical);
    std::memset(page + last_offset, 0xcc, last_size);
    ram->note_written(kCodePhysical + last_offset, last_size);
    std::memcpy(page + layout::kPad, kPadCode.data(), kPadCode.size());
    std::memcpy(page + c.code_offset, c.code.data(), c.code.size());
    last_offset = c.code_offset;
    last_size = c.code.size();
    ram->note_written(kCodePhysical + last_offset, last_size);
  }

  void collect(Result& result) {
    cpu::Core& c = engine->core();
    auto vector = static_cast<unsigned>((c.s.rip - 1 - kStubs) / 16);
    CHECK(c.s.cpl == 0 && vector < 32);
    bool code = has_error_code(vector);
    uint64_t frame = system_physical(kStackTop) - (code ? 48 : 40);
    result.event = {.vector = static_cast<uint8_t>(vector),
                    .code = code ? get<uint32_t>(frame) : 0,
                    .address = vector == 14 ? c.s.cr2 : 0};
    if (code) frame += 8;
    for (unsigned i = 0; i < 16; ++i) result.registers.gpr[i] = c.s.gpr[i];
    result.registers.rip = get<uint64_t>(frame);
    result.registers.rflags = get<uint64_t>(frame + 16);
    result.registers.gpr[cpu::RSP] = get<uint64_t>(frame + 24);
    result.registers.selector = {c.s.seg[cpu::ES].selector, get<uint16_t>(frame + 8),
                                 get<uint16_t>(frame + 32), c.s.seg[cpu::DS].selector,
                                 c.s.seg[cpu::FS].selector, c.s.seg[cpu::GS].selector};
    result.registers.fs_base = c.s.seg[cpu::FS].base;
    result.registers.gs_base = c.s.seg[cpu::GS].base;
    std::memcpy(result.registers.xsave.data(), c.s.xsave, kXsave);
    std::memcpy(result.window.data(), at(kWindowPhysical), result.window.size());
  }
};

Translated::Translated(const dbt::DbtOptions& options) : impl_(std::make_unique<Impl>()) {
  Impl& i = *impl_;
  i.ram = memory::RamBlock::create("ram", kRamBytes).value();
  CHECK(i.memory.map_ram(Gpa{0}, *i.ram, 0, kRamBytes).has_value());
  i.shared = dbt::make_dbt_shared(options).value();
  i.engine = dbt::make_dbt_engine(i.shared, 0).value();
  cpu::ModelRequest request;
  request.text = "max";
  request.supported = cpu::translator_features();
  i.model = cpu::CpuModel::create(request).value();
  i.model->attach(i.engine->core(), 0);
  i.make_memory();
  i.make_core();
  std::memset(i.at(kCodePhysical), 0xcc, layout::kCodeBytes);
}

Translated::~Translated() = default;

void Translated::run(const Case& c, const Registers& before, const Window& window, uint32_t per_cpu_limit,
                     Result& result) {
  Impl& i = *impl_;
  cpu::CpuState& s = i.engine->core().s;
  i.engine->pull();
  i.put_code(c);
  std::memcpy(i.at(kWindowPhysical), window.data(), window.size());
  i.set_segments(before);
  Entry per_cpu = entry(kPerCpu);
  per_cpu.limit = per_cpu_limit;
  i.put_descriptor(kGdt, per_cpu);
  for (unsigned r = 0; r < 16; ++r) s.gpr[r] = before.gpr[r];
  s.rip = before.rip;
  s.set_rflags(before.rflags);
  s.interrupt_flag = 1;
  s.halted = 0;
  s.cr2 = 0;
  s.interrupt_shadow = 0;
  std::memcpy(s.xsave, before.xsave.data(), kXsave);
  i.engine->push();
  cpu::Exit exit = i.engine->run();
  CHECK(exit == cpu::Exit::Halted);
  i.collect(result);
}

}  // namespace rhea::differential
