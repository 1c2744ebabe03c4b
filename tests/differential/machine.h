// One case of the differential rig: code, state and memory before; what both sides must agree on after.
//
// Layout, the same linear addresses natively and in the guest (all below 2 GiB, so that every mode reaches
// them): a code page that may be read and executed; a data window of pages with different rights and holes
// around them.
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
// hole, RW, RW, RW, read-only, hole; one more RW page at the end of the window for wraps.
inline constexpr uint64_t kData = 0x20000000;
inline constexpr unsigned kDataPages = 6;
inline constexpr uint64_t kWritable = kData + kPage;
inline constexpr unsigned kWritablePages = 3;
inline constexpr uint64_t kReadOnly = kWritable + kWritablePages * kPage;
inline constexpr unsigned kMappedPages = kWritablePages + 1;  // contiguous from kWritable
inline constexpr uint64_t kWindowBytes = kMappedPages * kPage;
}  // namespace layout

// Local descriptor table entries of the segmented modes.
namespace ldt {
inline constexpr uint16_t kCode16 = 0x07, kData16 = 0x0f, kStack16 = 0x17, kCode32 = 0x1f, kData32 = 0x27,
                          kStack32 = 0x2f;
}

inline constexpr unsigned kXsave = 4096;

struct Registers {
  std::array<uint64_t, 16> gpr;
  uint64_t rip;  // offset in the code segment
  uint64_t rflags;
  alignas(
      64) std::array<uint8_t, kXsave> xsave;  // standard format of this host; header says what is not initial
};

// The event that ended the case: a breakpoint at its end, or a fault.
struct Event {
  uint8_t vector;
  uint32_t code;
  uint64_t address;  // CR2 of a page fault
};

using Window = std::array<uint8_t, layout::kWindowBytes>;

struct Case {
  Mode mode;
  std::vector<uint8_t> code;        // ends with INT3
  std::vector<uint8_t> lengths;     // of its instructions, the final INT3 not counted
  std::vector<uint32_t> templates;  // of the catalogue, one for each instruction or ~0
  uint64_t code_offset;             // in the code page
  uint64_t seed;
  bool page_exact = false;   // a form of several accesses: which byte of a page faults is not compared
  bool near_branch = false;  // 16-bit code with a near branch, whose 32-bit form may leave the segment
  bool any_fault = false;    // nor which of two operands, or of several pieces, faults first
};

struct Result {
  Registers registers;
  Event event;
  Window window;
};

// Bits of RFLAGS that are compared.
inline constexpr uint64_t kComparedFlags = 0x240ed5 & ~uint64_t{0x200};

}  // namespace rhea::differential
