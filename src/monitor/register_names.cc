#include "monitor/register_names.h"

#include <charconv>
#include <utility>

namespace rhea::monitor {

namespace {

using Read = uint64_t (*)(const cpu::CpuState& s);

template <cpu::Reg reg>
uint64_t gpr(const cpu::CpuState& s) {
  return s.code64() ? s.gpr[reg] : s.gpr[reg] & 0xffffffff;
}
template <cpu::SegIndex segment>
uint64_t selector(const cpu::CpuState& s) {
  return s.seg[segment].selector;
}
uint64_t instruction(const cpu::CpuState& s) {
  return s.seg[cpu::CS].base + s.rip;
}

constexpr std::pair<std::string_view, Read> kNames[] = {
    {"eax", gpr<cpu::RAX>},
    {"rax", gpr<cpu::RAX>},
    {"ecx", gpr<cpu::RCX>},
    {"rcx", gpr<cpu::RCX>},
    {"edx", gpr<cpu::RDX>},
    {"rdx", gpr<cpu::RDX>},
    {"ebx", gpr<cpu::RBX>},
    {"rbx", gpr<cpu::RBX>},
    {"esp", gpr<cpu::RSP>},
    {"rsp", gpr<cpu::RSP>},
    {"sp", gpr<cpu::RSP>},
    {"ebp", gpr<cpu::RBP>},
    {"rbp", gpr<cpu::RBP>},
    {"fp", gpr<cpu::RBP>},
    {"esi", gpr<cpu::RSI>},
    {"rsi", gpr<cpu::RSI>},
    {"edi", gpr<cpu::RDI>},
    {"rdi", gpr<cpu::RDI>},
    {"r8", gpr<cpu::R8>},
    {"r9", gpr<cpu::R9>},
    {"r10", gpr<cpu::R10>},
    {"r11", gpr<cpu::R11>},
    {"r12", gpr<cpu::R12>},
    {"r13", gpr<cpu::R13>},
    {"r14", gpr<cpu::R14>},
    {"r15", gpr<cpu::R15>},
    {"eflags", [](const cpu::CpuState& s) { return s.rflags(); }},
    {"rflags", [](const cpu::CpuState& s) { return s.rflags(); }},
    {"eip", [](const cpu::CpuState& s) { return s.rip; }},
    {"rip", [](const cpu::CpuState& s) { return s.rip; }},
    {"pc", instruction},
    {"cs", selector<cpu::CS>},
    {"ds", selector<cpu::DS>},
    {"es", selector<cpu::ES>},
    {"ss", selector<cpu::SS>},
    {"fs", selector<cpu::FS>},
    {"gs", selector<cpu::GS>},
    {"cr0", [](const cpu::CpuState& s) { return s.cr0; }},
    {"cr2", [](const cpu::CpuState& s) { return s.cr2; }},
    {"cr3", [](const cpu::CpuState& s) { return s.cr3; }},
    {"cr4", [](const cpu::CpuState& s) { return s.cr4; }},
};

}  // namespace

std::optional<uint64_t> register_value(machine::Vm& vm, unsigned cpu, std::string_view name) {
  for (auto [known, read] : kNames) {
    if (known != name) continue;
    uint64_t value = 0;
    vm.with_vcpus_still([&, read = read] { value = read(vm.core(cpu).s); });
    return value;
  }
  return std::nullopt;
}

}  // namespace rhea::monitor
