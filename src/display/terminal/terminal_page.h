// A page of text on a terminal: turns one page into another with as few control sequences as are needed.
//
// ECMA-48: CUP, SGR; xterm's bright colours (90..97, 100..107).
#pragma once

#include <string>

#include "display/screen.h"

namespace rhea::display {

class TerminalPage {
 public:
  // unicode: the terminal takes UTF-8; else what is not ASCII is replaced.
  explicit TerminalPage(bool unicode) : unicode_(unicode) {}

  // The bytes that make the terminal of this size show the page; of a page that is too large, the part around
  // the cursor.
  std::string show(const TextPage& page, unsigned columns, unsigned rows);
  // The terminal shows anything now.
  void forget() { shown_.cells.clear(); }

 private:
  void put_cell(std::string& out, const TextCell& cell);
  void put_colours(std::string& out, uint8_t attribute);

  bool unicode_;
  TextPage shown_;
  int attribute_ = -1;
};

// A page with one line of text in the middle.
TextPage message_page(std::string_view text, unsigned columns, unsigned rows);

}  // namespace rhea::display
