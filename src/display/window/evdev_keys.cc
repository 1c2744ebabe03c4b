#include "display/window/evdev_keys.h"

namespace rhea::display {

namespace {

// Up to KEY_KPDOT the codes are those of scan code set 1.
constexpr unsigned kLastPlain = 83;

struct Pair {
  unsigned code;
  Key key;
};
constexpr Pair kPairs[] = {
    {86, Key::Less},
    {87, Key::F11},
    {88, Key::F12},
    {89, Key::Ro},
    {90, Key::Katakanahiragana},
    {91, Key::Hiragana},
    {92, Key::Henkan},
    {93, Key::Katakanahiragana},
    {94, Key::Muhenkan},
    {96, Key::KpEnter},
    {97, Key::CtrlR},
    {98, Key::KpDivide},
    {99, Key::Print},
    {100, Key::AltR},
    {101, Key::Lf},
    {102, Key::Home},
    {103, Key::Up},
    {104, Key::Pgup},
    {105, Key::Left},
    {106, Key::Right},
    {107, Key::End},
    {108, Key::Down},
    {109, Key::Pgdn},
    {110, Key::Insert},
    {111, Key::Delete},
    {113, Key::Audiomute},
    {114, Key::Volumedown},
    {115, Key::Volumeup},
    {116, Key::Power},
    {117, Key::KpEquals},
    {119, Key::Pause},
    {121, Key::KpComma},
    {122, Key::Lang1},
    {123, Key::Lang2},
    {124, Key::Yen},
    {125, Key::MetaL},
    {126, Key::MetaR},
    {127, Key::Compose},
    {128, Key::Stop},
    {129, Key::Again},
    {130, Key::Props},
    {131, Key::Undo},
    {132, Key::Front},
    {133, Key::Copy},
    {134, Key::Open},
    {135, Key::Paste},
    {136, Key::Find},
    {137, Key::Cut},
    {138, Key::Help},
    {139, Key::Menu},
    {140, Key::Calculator},
    {142, Key::Sleep},
    {143, Key::Wake},
    {155, Key::Mail},
    {156, Key::AcBookmarks},
    {157, Key::Computer},
    {158, Key::AcBack},
    {159, Key::AcForward},
    {163, Key::Audionext},
    {164, Key::Audioplay},
    {165, Key::Audioprev},
    {166, Key::Audiostop},
    {172, Key::AcHome},
    {173, Key::AcRefresh},
    {183, Key::F13},
    {184, Key::F14},
    {185, Key::F15},
    {186, Key::F16},
    {187, Key::F17},
    {188, Key::F18},
    {189, Key::F19},
    {190, Key::F20},
    {191, Key::F21},
    {192, Key::F22},
    {193, Key::F23},
    {194, Key::F24},
    {226, Key::Mediaselect},
};

}  // namespace

std::optional<Key> key_by_evdev(unsigned code) {
  if (code != 0 && code <= kLastPlain) return key_by_qnum(code);
  for (const Pair& pair : kPairs) {
    if (pair.code == code) return pair.key;
  }
  return std::nullopt;
}

}  // namespace rhea::display
