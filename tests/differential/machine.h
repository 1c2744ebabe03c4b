// One case of the differential rig: code, state and memory before; what both sides must agree on after.
//
// Layout, the same linear addresses natively and in the guest (all below 2 GiB, so that every mode reaches
// them): two code pages that may be read and executed, with a hole behind them; a data window of pages with
// different rights and holes around them; a local descriptor table with a segment of every kind that a
// process may have.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace rhea::differential {

enum class Mode : uint8_t { Long64, Flat32, Segmented32, Segmented16 };
inline constexpr unsigned kModes = 4;
const char* mode_name(Mode mode);
unsigned code_bits(Mode mode);

namespace layout {
inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kCode = 0x10000000;
inline constexpr uint64_t kCodeBytes = 2 * kPage;
// Where far transfers lead: bytes that are another instruction in each mode (see kPadCode).
inline constexpr uint64_t kPad = 0x1800;
// hole, RW, RW, RW, read-only, hole.
inline constexpr uint64_t kData = 0x20000000;
inline constexpr uint64_t kWritable = kData + kPage;
inline constexpr unsigned kWritablePages = 3;
inline constexpr uint64_t kReadOnly = kWritable + kWritablePages * kPage;
inline constexpr unsigned kMappedPages = kWritablePages + 1;  // contiguous from kWritable
inline constexpr uint64_t kWindowBytes = kMappedPages * kPage;
}  // namespace layout

// 64-bit: ADD RAX, imm32. 32-bit: DEC EAX; ADD EAX, imm32. 16-bit: DEC AX; ADD AX, imm16; XOR AX, [SI-34h].
inline constexpr std::array<uint8_t, 7> kPadCode = {0x48, 0x05, 0x11, 0x22, 0x33, 0x44, 0xcc};

// Linux's descriptors for programs.
inline constexpr uint16_t kUserCode32 = 0x23, kUserData = 0x2b, kUserCode64 = 0x33, kPerCpu = 0x7b;

// The local descriptor table.
namespace ldt {
inline constexpr uint16_t kCode16 = 0x07, kData16 = 0x0f, kStack16 = 0x17, kCode32 = 0x1f, kData32 = 0x27,
                          kStack32 = 0x2f, kReadOnly32 = 0x37, kExecuteOnly32 = 0x3f, kAbsentData = 0x47,
                          kAbsentCode = 0x4f, kDown16 = 0x57, kEmpty = 0x5f, kFlat32 = 0x67;
inline constexpr uint16_t kLimit = 0x67;

enum class Kind : uint8_t { Data, ReadOnly, ExpandDown, Code, ExecuteOnly };
struct Entry {
  uint16_t selector;
  uint64_t base;
  uint32_t limit;  // bytes, or pages less one if `pages`
  Kind kind;
  bool big, present, pages;
};
inline constexpr uint64_t kW = layout::kWritable, kC = layout::kCode;
inline constexpr Entry kEntries[] = {
    {kCode16, kC, 0xffff, Kind::Code, false, true, false},
    {kData16, kW, layout::kWindowBytes - 1, Kind::Data, false, true, false},
    {kStack16, kW, 0xffff, Kind::Data, false, true, false},
    {kCode32, kC - 0x1000, 0xffff, Kind::Code, true, true, false},
    {kData32, kW - 0x1000, layout::kWindowBytes + 0xfff - 0x800, Kind::Data, true, true, false},
    {kStack32, kW - 0x2000, 0x2fff, Kind::ExpandDown, true, true, false},
    {kReadOnly32, kW - 0x1000, 0x3fff, Kind::ReadOnly, true, true, false},
    {kExecuteOnly32, kC - 0x1000, 0xffff, Kind::ExecuteOnly, true, true, false},
    {kAbsentData, kW, 0xffff, Kind::Data, true, false, false},
    {kAbsentCode, kC, 0xffff, Kind::Code, true, false, false},
    {kDown16, kW - 0x1000, 0x17ff, Kind::ExpandDown, false, true, false},
    {kFlat32, 0, 0xfffff, Kind::Data, true, true, true},
};
}  // namespace ldt

// Of a selector that a program may hold; 0 for null and unknown ones.
uint64_t segment_base(uint16_t selector);

inline constexpr unsigned kXsave = 4096;

enum SegmentIndex : unsigned { kEs, kCs, kSs, kDs, kFs, kGs };

struct Registers {
  std::array<uint64_t, 16> gpr;
  uint64_t rip;  // offset in the code segment
  uint64_t rflags;
  std::array<uint16_t, 6> selector;
  uint64_t fs_base, gs_base;
  // Standard format of this host; its header says what is not initial.
  alignas(64) std::array<uint8_t, kXsave> xsave;
};

// The event that ended the case: a breakpoint at its end, or a fault.
struct Event {
  uint8_t vector;
  uint32_t code;
  uint64_t address;  // CR2 of a page fault
};

inline constexpr uint8_t kStuck = 31;  // natively only: it did not end

using Window = std::array<uint8_t, layout::kWindowBytes>;

// x87 and XSAVE images name the last x87 instruction and its operand, and guests find the later components of
// the standard XSAVE format where Intel has them (Xsave); see docs/cpu-conformance.md.
enum class Image : uint8_t { None, Env16, Env32, Fxsave, Xsave, Xsavec };

// What makes an instruction's faults, or what it leaves, depend on the processor (accept.cc).
namespace trait {
inline constexpr uint8_t kMasked = 1;      // elements are accesses of their own, or a helper makes them so
inline constexpr uint8_t kSeveral = 2;     // several accesses, or a far transfer
inline constexpr uint8_t kNearBranch = 4;  // in 16-bit code, whose 32-bit form may leave the segment
inline constexpr uint8_t kVector = 8;      // x87, SSE and later
inline constexpr uint8_t kInvalid = 16;    // no instruction
}  // namespace trait

struct Case {
  Mode mode;
  std::vector<uint8_t> code;        // ends with INT3, or at the end of the code pages
  std::vector<uint8_t> lengths;     // of its instructions, the final INT3 not counted
  std::vector<uint32_t> templates;  // of the catalogue, one for each instruction or ~0
  std::vector<uint8_t> traits;      // of each instruction
  uint64_t code_offset;             // in the code pages
  uint64_t seed;
  uint16_t undefined_flags = 0;  // by the SDM, behind its last instruction, which a helper does
  Image image = Image::None;
  uint64_t image_at = 0;  // in the window
};

struct Result {
  Registers registers;
  Event event;
  uint32_t per_cpu_limit;  // of kPerCpu, where the host left the case
  Window window;
};

// Bits of RFLAGS that are compared: all but VM.
inline constexpr uint64_t kComparedFlags = 0x3d7fd5;
inline constexpr uint64_t kStatusFlags = 0x8d5;

}  // namespace rhea::differential
