// The GTK 3 window: the selected screen in a drawing area under a menu bar.
//
// Runs in the thread that rhea_make_window() was called in, with a main context of its own thread's. Missing:
// GL, Wayland's pointer lock (grabbing moves the pointer, which Wayland forbids: there only places work).
#include "display/window/gtk/gtk_window.h"

#include <gdk/gdkkeysyms.h>
#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>

namespace rhea::display {

namespace {

constexpr int kMaxPlace = 0x7fff;
constexpr unsigned kEvdevOffset = 8;  // X11's key codes are those of Linux and this
constexpr double kZoomStep = 0.25, kSmallestZoom = 0.25, kLargestZoom = 8;
constexpr const char* kGrabHint = " - Press Ctrl+Alt+G to release grab";

GtkWindowView& view(gpointer data) {
  return *static_cast<GtkWindowView*>(data);
}

std::string screenshot_name() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof(text), "rhea-screenshot-%Y%m%d-%H%M%S.png", &parts));
}

}  // namespace

GtkWindowView::GtkWindowView(WindowHost& host, const WindowOptions& options)
    : host_(host), options_(options), zoom_to_fit_(options.zoom_to_fit), full_screen_(options.full_screen) {
  window_ = gtk_window_new(GTK_WINDOW_TOPLEVEL);
  GtkWidget* box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
  area_ = gtk_drawing_area_new();
  gtk_widget_set_can_focus(area_, TRUE);
  gtk_widget_add_events(area_, GDK_POINTER_MOTION_MASK | GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK |
                                   GDK_SCROLL_MASK | GDK_SMOOTH_SCROLL_MASK | GDK_ENTER_NOTIFY_MASK |
                                   GDK_LEAVE_NOTIFY_MASK | GDK_KEY_PRESS_MASK | GDK_KEY_RELEASE_MASK);
  menu_bar_ = make_menus();
  gtk_box_pack_start(GTK_BOX(box), menu_bar_, FALSE, FALSE, 0);
  gtk_box_pack_start(GTK_BOX(box), area_, TRUE, TRUE, 0);
  gtk_container_add(GTK_CONTAINER(window_), box);
  connect_signals();
  gtk_widget_show_all(window_);
  gtk_widget_set_visible(menu_bar_, options_.show_menubar && !full_screen_);
  if (full_screen_) gtk_window_fullscreen(GTK_WINDOW(window_));
  gtk_widget_grab_focus(area_);
  resize_picture(640, 480);
  update_title();
}

GtkWindowView::~GtkWindowView() {
  gtk_widget_destroy(window_);
  if (picture_ != nullptr) cairo_surface_destroy(picture_);
  while (gtk_events_pending() != 0) gtk_main_iteration();
}

void GtkWindowView::run() {
  gtk_main();
}

// Any thread.
void GtkWindowView::wake() {
  g_idle_add(
      [](gpointer data) -> gboolean {
        view(data).update();
        return G_SOURCE_REMOVE;
      },
      this);
}

void GtkWindowView::stop() {
  g_idle_add(
      [](gpointer) -> gboolean {
        gtk_main_quit();
        return G_SOURCE_REMOVE;
      },
      nullptr);
}

void GtkWindowView::update() {
  host_.with_picture([this](const WindowHost::Picture& picture) { take(picture); });
  if (host_.wants_places() && grabbed_ && !grabbed_by_hand_) release_grab();
  update_title();
  update_menu();
  update_cursor();
}

void GtkWindowView::take(const WindowHost::Picture& picture) {
  const int width = static_cast<int>(picture.width), height = static_cast<int>(picture.height);
  if (picture_ == nullptr || width != width_ || height != height_) resize_picture(width, height);
  unsigned char* to = cairo_image_surface_get_data(picture_);
  const auto stride = static_cast<size_t>(cairo_image_surface_get_stride(picture_));
  cairo_surface_flush(picture_);
  for (unsigned y = picture.y; y < picture.y + picture.changed_height; ++y)
    std::memcpy(to + stride * y + size_t{picture.x} * 4,
                picture.pixels + size_t{y} * picture.width + picture.x, size_t{picture.changed_width} * 4);
  cairo_surface_mark_dirty(picture_);
  const Place place = where();
  const double x = place.x + picture.x * place.scale_x, y = place.y + picture.y * place.scale_y;
  gtk_widget_queue_draw_area(area_, static_cast<int>(x) - 1, static_cast<int>(y) - 1,
                             static_cast<int>(std::ceil(picture.changed_width * place.scale_x)) + 3,
                             static_cast<int>(std::ceil(picture.changed_height * place.scale_y)) + 3);
}

void GtkWindowView::resize_picture(int width, int height) {
  if (picture_ != nullptr) cairo_surface_destroy(picture_);
  picture_ = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
  width_ = width;
  height_ = height;
  fit_window();
}

// Makes the window as large as the picture, unless the picture follows the window.
void GtkWindowView::fit_window() {
  const int width = static_cast<int>(width_ * zoom_), height = static_cast<int>(height_ * zoom_);
  if (zoom_to_fit_ || full_screen_) {
    gtk_widget_set_size_request(area_, 160, 100);
    if (!sized_) gtk_window_resize(GTK_WINDOW(window_), width, height);
    sized_ = true;
  } else {
    gtk_widget_set_size_request(area_, width, height);
    gtk_window_resize(GTK_WINDOW(window_), width, height);
  }
  gtk_widget_queue_draw(area_);
}

GtkWindowView::Place GtkWindowView::where() const {
  const double wide = gtk_widget_get_allocated_width(area_), high = gtk_widget_get_allocated_height(area_);
  double scale = zoom_;
  if (zoom_to_fit_ || full_screen_) scale = std::min(wide / width_, high / height_);
  return {std::floor((wide - width_ * scale) / 2), std::floor((high - height_ * scale) / 2), scale, scale};
}

void GtkWindowView::draw(cairo_t* to) {
  cairo_set_source_rgb(to, 0, 0, 0);
  cairo_paint(to);
  if (picture_ == nullptr) return;
  const Place place = where();
  cairo_translate(to, place.x, place.y);
  cairo_scale(to, place.scale_x, place.scale_y);
  cairo_set_source_surface(to, picture_, 0, 0);
  cairo_pattern_set_filter(cairo_get_source(to), place.scale_x == std::floor(place.scale_x)
                                                     ? CAIRO_FILTER_NEAREST
                                                     : CAIRO_FILTER_BILINEAR);
  cairo_paint(to);
}

void GtkWindowView::update_title() {
  std::string title = host_.title();
  if (!host_.running()) title += " [Paused]";
  if (grabbed_) title += kGrabHint;
  gtk_window_set_title(GTK_WINDOW(window_), title.c_str());
}

// Above a tablet's screen, or while grabbed, the guest draws the pointer.
void GtkWindowView::update_cursor() {
  GdkWindow* window = gtk_widget_get_window(area_);
  if (window == nullptr) return;
  const bool hide = !options_.show_cursor && (grabbed_ || host_.wants_places());
  if (hide == cursor_hidden_) return;
  cursor_hidden_ = hide;
  GdkCursor* cursor =
      hide ? gdk_cursor_new_for_display(gdk_window_get_display(window), GDK_BLANK_CURSOR) : nullptr;
  gdk_window_set_cursor(window, cursor);
  if (cursor != nullptr) g_object_unref(cursor);
}

void GtkWindowView::take_grab() {
  if (grabbed_) return;
  GdkSeat* seat = gdk_display_get_default_seat(gtk_widget_get_display(area_));
  const auto what =
      static_cast<GdkSeatCapabilities>(GDK_SEAT_CAPABILITY_ALL_POINTING | GDK_SEAT_CAPABILITY_KEYBOARD);
  GdkWindow* window = gtk_widget_get_window(area_);
  if (gdk_seat_grab(seat, window, what, FALSE, nullptr, nullptr, nullptr, nullptr) != GDK_GRAB_SUCCESS)
    return;
  grabbed_ = true;
  have_last_ = false;
  update_title();
  update_menu();
  update_cursor();
}

void GtkWindowView::release_grab() {
  if (!grabbed_) return;
  gdk_seat_ungrab(gdk_display_get_default_seat(gtk_widget_get_display(area_)));
  grabbed_ = grabbed_by_hand_ = false;
  update_title();
  update_menu();
  update_cursor();
}

void GtkWindowView::toggle_grab() {
  if (grabbed_) {
    release_grab();
  } else {
    take_grab();
    grabbed_by_hand_ = grabbed_;
  }
}

void GtkWindowView::toggle_full_screen() {
  full_screen_ = !full_screen_;
  gtk_widget_set_visible(menu_bar_, options_.show_menubar && !full_screen_);
  if (full_screen_) {
    gtk_window_fullscreen(GTK_WINDOW(window_));
  } else {
    gtk_window_unfullscreen(GTK_WINDOW(window_));
  }
  fit_window();
  update_menu();
}

void GtkWindowView::set_zoom(double zoom) {
  zoom_ = std::clamp(zoom, kSmallestZoom, kLargestZoom);
  zoom_to_fit_ = false;
  fit_window();
  update_menu();
}

void GtkWindowView::set_zoom_to_fit(bool on) {
  zoom_to_fit_ = on;
  fit_window();
}

void GtkWindowView::screenshot() {
  GtkWidget* dialog =
      gtk_file_chooser_dialog_new("Save a screenshot", GTK_WINDOW(window_), GTK_FILE_CHOOSER_ACTION_SAVE,
                                  "_Cancel", GTK_RESPONSE_CANCEL, "_Save", GTK_RESPONSE_ACCEPT, nullptr);
  gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(dialog), screenshot_name().c_str());
  gtk_file_chooser_set_do_overwrite_confirmation(GTK_FILE_CHOOSER(dialog), TRUE);
  if (gtk_dialog_run(GTK_DIALOG(dialog)) == GTK_RESPONSE_ACCEPT) {
    char* path = gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(dialog));
    if (path != nullptr) host_.screenshot(path);
    g_free(path);
  }
  gtk_widget_destroy(dialog);
}

// Keys of the window itself: Ctrl+Alt and a letter.
bool GtkWindowView::shortcut(const GdkEventKey& event) {
  constexpr unsigned kBoth = GDK_CONTROL_MASK | GDK_MOD1_MASK;
  if ((event.state & kBoth) != kBoth) return false;
  const guint key = gdk_keyval_to_lower(event.keyval);
  switch (key) {
    case GDK_KEY_g: toggle_grab(); break;
    case GDK_KEY_f: toggle_full_screen(); break;
    case GDK_KEY_q: host_.act(WindowAction::Quit); break;
    case GDK_KEY_s: screenshot(); break;
    case GDK_KEY_0: set_zoom(1); break;
    case GDK_KEY_plus:
    case GDK_KEY_equal: set_zoom(zoom_ + kZoomStep); break;
    case GDK_KEY_minus: set_zoom(zoom_ - kZoomStep); break;
    case GDK_KEY_m: gtk_widget_set_visible(menu_bar_, !gtk_widget_get_visible(menu_bar_)); break;
    default:
      if (key < GDK_KEY_1 || key >= GDK_KEY_1 + host_.screens()) return false;
      host_.select(key - GDK_KEY_1);
      break;
  }
  host_.release_keys();
  return true;
}

void GtkWindowView::key(const GdkEventKey& event) {
  const bool down = event.type == GDK_KEY_PRESS;
  if (down && shortcut(event)) return;
  if (event.hardware_keycode > kEvdevOffset) host_.key_evdev(event.hardware_keycode - kEvdevOffset, down);
}

void GtkWindowView::motion(double x, double y) {
  if (host_.wants_places()) {
    const Place place = where();
    const double px = (x - place.x) / place.scale_x, py = (y - place.y) / place.scale_y;
    if (px < 0 || py < 0 || px >= width_ || py >= height_) return;
    host_.place(static_cast<int>(px * kMaxPlace / std::max(width_ - 1, 1)),
                static_cast<int>(py * kMaxPlace / std::max(height_ - 1, 1)));
    return;
  }
  if (!grabbed_) return;
  if (have_last_) {
    const int dx = static_cast<int>(x - last_x_), dy = static_cast<int>(y - last_y_);
    if (dx != 0 || dy != 0) host_.motion(dx, dy);
  }
  last_x_ = x;
  last_y_ = y;
  have_last_ = true;
  keep_inside(x, y);
}

// A pointer at the edge could not report any more motion.
void GtkWindowView::keep_inside(double x, double y) {
  const int wide = gtk_widget_get_allocated_width(area_), high = gtk_widget_get_allocated_height(area_);
  constexpr double kEdge = 20;
  if (x > kEdge && y > kEdge && x < wide - kEdge && y < high - kEdge) return;
  int root_x = 0, root_y = 0;
  gdk_window_get_root_coords(gtk_widget_get_window(area_), wide / 2, high / 2, &root_x, &root_y);
  GdkDevice* pointer = gdk_seat_get_pointer(gdk_display_get_default_seat(gtk_widget_get_display(area_)));
  gdk_device_warp(pointer, gtk_widget_get_screen(area_), root_x, root_y);
  last_x_ = wide / 2;
  last_y_ = high / 2;
}

void GtkWindowView::button(const GdkEventButton& event) {
  if (event.type != GDK_BUTTON_PRESS && event.type != GDK_BUTTON_RELEASE) return;
  const bool down = event.type == GDK_BUTTON_PRESS;
  gtk_widget_grab_focus(area_);
  if (!host_.wants_places() && !grabbed_) {
    if (down && event.button == 1) take_grab();
    return;
  }
  if (host_.wants_places()) motion(event.x, event.y);
  constexpr int kButtons[] = {-1, 0, 1, 2, -1, -1, -1, -1, 3, 4};
  const int number = event.button < std::size(kButtons) ? kButtons[event.button] : -1;
  if (number >= 0) host_.button(static_cast<unsigned>(number), down);
}

void GtkWindowView::scroll(const GdkEventScroll& event) {
  switch (event.direction) {
    case GDK_SCROLL_UP: host_.wheel(-1, 0); break;
    case GDK_SCROLL_DOWN: host_.wheel(1, 0); break;
    case GDK_SCROLL_LEFT: host_.wheel(0, -1); break;
    case GDK_SCROLL_RIGHT: host_.wheel(0, 1); break;
    case GDK_SCROLL_SMOOTH: {
      scrolled_ += event.delta_y;
      const int clicks = static_cast<int>(scrolled_);
      scrolled_ -= clicks;
      if (clicks != 0) host_.wheel(clicks, 0);
      break;
    }
  }
}

void GtkWindowView::connect_signals() {
  const auto connect = [this](GtkWidget* widget, const char* signal, GCallback callback) {
    g_signal_connect(widget, signal, callback, this);
  };
  connect(window_, "delete-event", G_CALLBACK(+[](GtkWidget*, GdkEvent*, gpointer data) -> gboolean {
            if (view(data).options_.window_close) view(data).host_.act(WindowAction::Quit);
            return TRUE;
          }));
  connect(area_, "draw", G_CALLBACK(+[](GtkWidget*, cairo_t* to, gpointer data) -> gboolean {
            view(data).draw(to);
            return TRUE;
          }));
  const auto key_event = +[](GtkWidget*, GdkEventKey* event, gpointer data) -> gboolean {
    view(data).key(*event);
    return TRUE;
  };
  connect(area_, "key-press-event", G_CALLBACK(key_event));
  connect(area_, "key-release-event", G_CALLBACK(key_event));
  connect(area_, "motion-notify-event",
          G_CALLBACK(+[](GtkWidget*, GdkEventMotion* event, gpointer data) -> gboolean {
            view(data).motion(event->x, event->y);
            return TRUE;
          }));
  const auto button_event = +[](GtkWidget*, GdkEventButton* event, gpointer data) -> gboolean {
    view(data).button(*event);
    return TRUE;
  };
  connect(area_, "button-press-event", G_CALLBACK(button_event));
  connect(area_, "button-release-event", G_CALLBACK(button_event));
  connect(area_, "scroll-event",
          G_CALLBACK(+[](GtkWidget*, GdkEventScroll* event, gpointer data) -> gboolean {
            view(data).scroll(*event);
            return TRUE;
          }));
  connect(area_, "enter-notify-event", G_CALLBACK(+[](GtkWidget*, GdkEvent*, gpointer data) -> gboolean {
            GtkWindowView& v = view(data);
            if (v.hover_) v.take_grab();
            return FALSE;
          }));
  connect(area_, "leave-notify-event", G_CALLBACK(+[](GtkWidget*, GdkEvent*, gpointer data) -> gboolean {
            GtkWindowView& v = view(data);
            if (v.hover_ && !v.grabbed_by_hand_) v.release_grab();
            return FALSE;
          }));
  connect(area_, "focus-out-event", G_CALLBACK(+[](GtkWidget*, GdkEvent*, gpointer data) -> gboolean {
            view(data).host_.release_keys();
            return FALSE;
          }));
  connect(area_, "size-allocate", G_CALLBACK(+[](GtkWidget*, GdkRectangle* size, gpointer data) {
            GtkWindowView& v = view(data);
            if (v.zoom_to_fit_ || v.full_screen_)
              v.host_.size_wanted(static_cast<unsigned>(size->width), static_cast<unsigned>(size->height));
          }));
}

}  // namespace rhea::display

extern "C" [[gnu::visibility("default")]] rhea::display::WindowToolkit* rhea_make_window(
    rhea::display::WindowHost& host, const rhea::display::WindowOptions& options, std::string& error) {
  if (gtk_init_check(nullptr, nullptr) == FALSE) {
    error = "gtk initialization failed: there is no display to connect to";
    return nullptr;
  }
  return new rhea::display::GtkWindowView(host, options);
}
