#include "tools/system/options/viewers.h"

#include "base/failf.h"

namespace rhea::system {

namespace {

struct WindowWords : display::WindowOptions {
  std::string type;
  bool gl = false;
};

// The keys that each kind of window has.
const config::Group<WindowWords>& gtk_group() {
  using W = WindowWords;
  static const config::Group<W> group{
      "display gtk",
      "type",
      {config::text("type", &W::type, "gtk"),
       config::boolean("full-screen", static_cast<bool W::*>(&W::full_screen), "starts in full screen"),
       config::boolean("zoom-to-fit", static_cast<bool W::*>(&W::zoom_to_fit),
                       "the picture is as large as the window"),
       config::boolean("grab-on-hover", static_cast<bool W::*>(&W::grab_on_hover),
                       "grabs when the pointer enters"),
       config::boolean("show-cursor", static_cast<bool W::*>(&W::show_cursor),
                       "the host's pointer stays visible"),
       config::boolean("show-menubar", static_cast<bool W::*>(&W::show_menubar), "the menu bar is shown"),
       config::boolean("window-close", static_cast<bool W::*>(&W::window_close),
                       "closing the window ends the machine"),
       config::boolean("gl", &W::gl, "off: not supported")}};
  return group;
}

const config::Group<WindowWords>& sdl_group() {
  using W = WindowWords;
  static const config::Group<W> group{
      "display sdl",
      "type",
      {config::text("type", &W::type, "sdl"),
       config::boolean("full-screen", static_cast<bool W::*>(&W::full_screen), "starts in full screen"),
       config::boolean("show-cursor", static_cast<bool W::*>(&W::show_cursor),
                       "the host's pointer stays visible"),
       config::boolean("window-close", static_cast<bool W::*>(&W::window_close),
                       "closing the window ends the machine"),
       config::boolean("gl", &W::gl, "off: not supported")}};
  return group;
}

Result<> parse_window(std::string_view text, const config::Group<WindowWords>& group, ViewerKind kind,
                      ViewerOptions& to) {
  WindowWords words;
  TRY(group.parse_into(text, words));
  if (words.gl) return fail(ErrorKind::Unsupported, "gl=on is not supported");
  to.kind = kind;
  to.window = words;
  return {};
}

}  // namespace

Result<> parse_display(std::string_view text, const std::function<Result<>(std::string_view)>& parse_vnc,
                       ViewerOptions& to) {
  const std::string_view type = text.substr(0, text.find(','));
  if (config::asks_for_help(text))
    print_and_exit("Available display backend types:\nnone\ngtk\nsdl\ncurses\nvnc\n");
  if (text.ends_with(",help") && type == "gtk") print_and_exit(gtk_group().help());
  if (text.ends_with(",help") && type == "sdl") print_and_exit(sdl_group().help());
  if (text.starts_with("vnc=")) {
    to.vnc = true;
    return parse_vnc(text.substr(4));
  }
  if (type == "gtk") return parse_window(text, gtk_group(), ViewerKind::Gtk, to);
  if (type == "sdl") return parse_window(text, sdl_group(), ViewerKind::Sdl, to);
  if (text == "none" || text == "curses") {
    to.kind = text == "none" ? ViewerKind::None : ViewerKind::Curses;
    return {};
  }
  if (type == "none" || type == "curses") return failf(ErrorKind::Invalid, "'{}' takes no keys", type);
  for (const std::string_view later : {"spice-app", "egl-headless", "dbus", "cocoa"}) {
    if (type == later) return failf(ErrorKind::Unsupported, "display '{}' is not supported", type);
  }
  return failf(ErrorKind::Invalid, "there is no display '{}'; accepted are none, gtk, sdl, curses and vnc=…",
               type);
}

}  // namespace rhea::system
