// A character back end that is a screen of its own ("vc"): what is written to it is drawn as on a VT102, and
// keys pressed on its screen are its input. For monitors and serial lines in windows.
//
// ECMA-48 and the VT102's scroll region, with the colours of ECMA-48; text is UTF-8, of which what code page
// 437 has is shown. Missing: scrolling back, double-size characters, charset switching. Caller holds the
// machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "chardev/chardev.h"
#include "display/screen.h"

namespace rhea::devices {

// 256 characters of 8 x 16 dots.
using ConsoleFont = std::array<uint8_t, 4096>;

// The font that a VGA BIOS carries, found by its first glyphs. Nothing: there is none.
std::optional<ConsoleFont> find_font(std::span<const uint8_t> vga_bios);

class TextConsole final : public chardev::Chardev, public display::ScreenSource {
 public:
  TextConsole(std::string label, unsigned columns, unsigned rows, const ConsoleFont& font);
  ~TextConsole() override;

  const std::string& label() const { return label_; }
  // Null: nowhere any more.
  void show_on(display::Screen* screen);

  void attach(chardev::Frontend* frontend) override;
  size_t write(std::span<const uint8_t> bytes) override;
  void resume_input() override;
  std::string description() const override { return "vc"; }

  std::optional<int64_t> refresh() override;
  bool text(display::TextPage& page) override;
  bool key(display::Key key, bool down) override;
  void screen_gone() override { screen_ = nullptr; }

 private:
  enum class State : uint8_t { Text, Escape, Sequence, String, Skip };

  void put(uint8_t byte);
  void put_text(uint8_t byte);
  void put_character(uint8_t character);
  void control(uint8_t byte);
  void escape(uint8_t byte);
  void sequence(uint8_t byte);
  void run_sequence(char final);
  void move_cursor(char final);
  void erase(char final);
  void insert_or_delete(char final);
  void set_attributes();
  unsigned argument(size_t index, unsigned usual) const;
  void line_feed();
  void scroll(unsigned top, unsigned bottom, int lines);
  void clear(unsigned from, unsigned to);
  display::TextCell& cell(unsigned x, unsigned y) { return page_.cells[size_t{y} * page_.columns + x]; }
  uint8_t attribute() const;
  void draw_cell(display::Surface& surface, unsigned x, unsigned y, const display::TextCell& cell,
                 bool cursor);
  void send(std::string_view bytes);
  void flush_input();

  std::string label_;
  const ConsoleFont& font_;
  display::Screen* screen_ = nullptr;
  chardev::Frontend* frontend_ = nullptr;
  std::deque<uint8_t> input_;

  display::TextPage page_, drawn_;
  State state_ = State::Text;
  std::vector<unsigned> arguments_;
  bool private_ = false, wrap_next_ = false, bold_ = false, reverse_ = false;
  uint8_t front_ = 7, back_ = 0;
  unsigned top_ = 0, bottom_;  // the scroll region, inclusive
  unsigned saved_x_ = 0, saved_y_ = 0;
  uint32_t rune_ = 0;
  unsigned rune_left_ = 0;
  bool shift_ = false, control_ = false, alt_ = false, caps_ = false;
};

}  // namespace rhea::devices
