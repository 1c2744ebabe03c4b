// What the rig must know of an instruction beyond its bytes.
#pragma once

#include "catalogue.h"
#include "maker.h"

namespace rhea::differential {

// Why a form does not run natively in user mode here; null: it does.
const char* excluded(const Template& t, Mode mode);

// What is put where the instruction will find it, so that it often succeeds.
enum class Kind : uint8_t {
  Plain,
  LoadSegment,
  PopSegment,
  FarPointer,
  FarDirect,
  FarIndirect,
  FarReturn,
  Iret,
  Image
};
Kind kind_of(const Decoded& d);
Image image_of(const Decoded& d);

// See trait:: and Case::undefined_flags.
uint8_t traits_of(const Template& t, const Decoded& d, Mode mode);
uint16_t helped_undefined_flags(const Template& t, const Decoded& d);

// The processor on which the deviations were measured (AMD Zen 3 and 4): on others, what the manuals leave to
// the processor is not compared.
bool measured_host();
// Programs here have addresses of 57 bits, so that fewer are non-canonical.
bool wide_addresses();

// A near branch (or what else is rewritten that may fault like one).
bool is_near_branch(uint16_t mnemonic);
// It accesses memory in several pieces.
bool several_pieces(uint16_t mnemonic);
// Compressing and expanding forms, whose elements are accesses of their own even without a mask.
bool is_compress(uint16_t mnemonic);

}  // namespace rhea::differential
