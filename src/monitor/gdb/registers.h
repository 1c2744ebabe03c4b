// GDB's view of an x86-64 CPU's registers: features org.gnu.gdb.i386.core, .sse and .segments of "Debugging
// with GDB", appendix G.5.7, and the control registers to look at. Numbers follow the order of the target
// description.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cpu/state.h"

namespace rhea::gdb {

std::string_view target_xml();

unsigned register_count();
unsigned register_bytes(unsigned number);  // 0: no such register
// Little-endian contents, register_bytes() long.
std::vector<uint8_t> read_register(const cpu::CpuState& s, unsigned number);
// `value` is register_bytes() long. What has consequences that depend on the mode (selectors, control
// registers) is read-only here: false.
bool write_register(cpu::CpuState& s, unsigned number, std::span<const uint8_t> value);

}  // namespace rhea::gdb
