// Layouts from the host's XKB data. libxkbcommon is loaded when a layout is asked for, so that a server
// without it runs all the same.

#include <dlfcn.h>

#ifdef RHEA_HAVE_XKBCOMMON
#include <xkbcommon/xkbcommon.h>
#endif

#include <memory>

#include "base/failf.h"
#include "config/key_values.h"
#include "display/layout.h"

namespace rhea::display {

namespace {

// QEMU's name of a layout and what XKB calls it.
struct Name {
  std::string_view name;
  const char* layout;
  const char* variant;
};

constexpr Name kNames[] = {
    {"ar", "ara", ""},   {"bepo", "fr", "bepo"}, {"cz", "cz", ""},      {"da", "dk", ""},
    {"de", "de", ""},    {"de-ch", "ch", ""},    {"en-gb", "gb", ""},   {"en-us", "us", ""},
    {"es", "es", ""},    {"et", "ee", ""},       {"fi", "fi", ""},      {"fo", "fo", ""},
    {"fr", "fr", ""},    {"fr-be", "be", ""},    {"fr-ca", "ca", "fr"}, {"fr-ch", "ch", "fr"},
    {"hr", "hr", ""},    {"hu", "hu", ""},       {"is", "is", ""},      {"it", "it", ""},
    {"ja", "jp", ""},    {"lt", "lt", ""},       {"lv", "lv", ""},      {"mk", "mk", ""},
    {"nl", "nl", ""},    {"no", "no", ""},       {"pl", "pl", ""},      {"pt", "pt", ""},
    {"pt-br", "br", ""}, {"ru", "ru", ""},       {"sl", "si", ""},      {"sv", "se", ""},
    {"th", "th", ""},    {"tr", "tr", ""},
};

#ifdef RHEA_HAVE_XKBCOMMON

template <class T>
bool load_symbol(void* library, const char* name, T*& function) {
  function = reinterpret_cast<T*>(::dlsym(library, name));  // SAFETY: T is the declaration in its header
  return function != nullptr;
}

struct Xkb {
  decltype(::xkb_context_new)* context_new;
  decltype(::xkb_context_unref)* context_unref;
  decltype(::xkb_keymap_new_from_names)* keymap_new_from_names;
  decltype(::xkb_keymap_unref)* keymap_unref;
  decltype(::xkb_keymap_key_get_syms_by_level)* key_get_syms_by_level;
  decltype(::xkb_keysym_to_utf32)* keysym_to_utf32;

  // The library stays loaded.
  bool load() {
    void* library = ::dlopen("libxkbcommon.so.0", RTLD_NOW | RTLD_LOCAL);
    return library != nullptr && load_symbol(library, "xkb_context_new", context_new) &&
           load_symbol(library, "xkb_context_unref", context_unref) &&
           load_symbol(library, "xkb_keymap_new_from_names", keymap_new_from_names) &&
           load_symbol(library, "xkb_keymap_unref", keymap_unref) &&
           load_symbol(library, "xkb_keymap_key_get_syms_by_level", key_get_syms_by_level) &&
           load_symbol(library, "xkb_keysym_to_utf32", keysym_to_utf32);
  }
};

// XKB numbers keys as Linux does, plus 8; the typing keys have Linux's number equal to their qnum.
void add_key(const Xkb& xkb, xkb_keymap* keymap, unsigned linux_code, Key key, Layout& layout) {
  constexpr uint8_t kLevels[] = {0, kShiftModifier, kAltGrModifier, kShiftModifier | kAltGrModifier};
  for (unsigned level = 0; level < 4; ++level) {
    const xkb_keysym_t* symbols = nullptr;
    const int count = xkb.key_get_syms_by_level(keymap, linux_code + 8, 0, level, &symbols);
    for (int i = 0; i < count; ++i) {
      if (Layout::fixed_key(symbols[i]) != Key::Unmapped) continue;
      layout.add(symbols[i], {key, kLevels[level]});
      const uint32_t unicode = xkb.keysym_to_utf32(symbols[i]);
      if (unicode > 0xff) layout.add(0x01000000 | unicode, {key, kLevels[level]});
    }
  }
}

Result<> fill(const Name& name, Layout& layout) {
  Xkb xkb{};
  if (!xkb.load()) return fail(ErrorKind::NotFound, "the host has no libxkbcommon, which layouts come from");
  const std::unique_ptr<xkb_context, decltype(xkb.context_unref)> context(
      xkb.context_new(XKB_CONTEXT_NO_ENVIRONMENT_NAMES), xkb.context_unref);
  const xkb_rule_names rules{"evdev", "pc105", name.layout, name.variant, ""};
  const std::unique_ptr<xkb_keymap, decltype(xkb.keymap_unref)> keymap(
      context ? xkb.keymap_new_from_names(context.get(), &rules, XKB_KEYMAP_COMPILE_NO_FLAGS) : nullptr,
      xkb.keymap_unref);
  if (!keymap) return failf(ErrorKind::NotFound, "the host's XKB data has no layout '{}'", name.layout);
  layout.clear();
  for (unsigned code = 1; code <= 0x58; ++code) {
    const auto key = key_by_qnum(code);
    const bool keypad = code >= 0x47 && code <= 0x53;
    if (key && !keypad && key != Key::KpMultiply) add_key(xkb, keymap.get(), code, *key, layout);
  }
  constexpr unsigned kLinuxRo = 89, kLinuxYen = 124;
  add_key(xkb, keymap.get(), kLinuxRo, Key::Ro, layout);
  add_key(xkb, keymap.get(), kLinuxYen, Key::Yen, layout);
  return {};
}

#else

Result<> fill(const Name&, Layout&) {
  return fail(ErrorKind::Unsupported, "this build has the layout en-us only (no libxkbcommon)");
}

#endif

}  // namespace

std::vector<std::string_view> Layout::names() {
  std::vector<std::string_view> list;
  for (const Name& at : kNames) list.push_back(at.name);
  return list;
}

Result<Layout> Layout::load(std::string_view name) {
  Layout layout;
  if (name == "en-us") return layout;
  for (const Name& at : kNames) {
    if (at.name != name) continue;
    TRY(fill(at, layout));
    return layout;
  }
  return failf(ErrorKind::NotFound, "could not read keymap file: '{}'{}", name,
               config::did_you_mean(name, names()));
}

}  // namespace rhea::display
