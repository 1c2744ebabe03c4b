// What a terminal sends for keys, as keys of a PC keyboard: characters through a keyboard layout, control
// characters, and the sequences that xterm, the Linux console and their kin send for cursor and function
// keys.
//
// ECMA-48 (control sequences); xterm's ctlseqs ("PC-Style Function Keys"); console_codes(4).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "display/layout.h"

namespace rhea::display {

class TerminalKeys {
 public:
  using Chord = std::vector<Key>;  // modifiers first

  // The layout outlives this.
  explicit TerminalKeys(const Layout& layout) : layout_(layout) {}

  // The keys of what was read at once. A sequence that is cut off there is continued by the next call; an
  // escape character at the end is the Escape key.
  std::vector<Chord> parse(std::span<const uint8_t> bytes);

 private:
  size_t take(std::string_view text, std::vector<Chord>& out) const;
  size_t take_escape(std::string_view text, std::vector<Chord>& out) const;
  size_t take_control_sequence(std::string_view text, std::vector<Chord>& out) const;
  size_t take_character(std::string_view text, bool alt, std::vector<Chord>& out) const;

  const Layout& layout_;
  std::string rest_;
};

}  // namespace rhea::display
