// See gtk_window.cc. Its own thread.
#pragma once

#include <gtk/gtk.h>

#include <string>
#include <vector>

#include "display/window/window.h"

namespace rhea::display {

class GtkWindowView final : public WindowToolkit {
 public:
  GtkWindowView(WindowHost& host, const WindowOptions& options);
  ~GtkWindowView() override;
  GtkWindowView(const GtkWindowView&) = delete;
  GtkWindowView& operator=(const GtkWindowView&) = delete;

  void run() override;
  void wake() override;
  void stop() override;

 private:
  // Where in the drawing area the picture is.
  struct Place {
    double x, y, scale_x, scale_y;
  };

  // The menus (gtk_menus.cc).
  GtkWidget* make_menus();
  GtkWidget* make_machine_menu();
  GtkWidget* make_view_menu();
  void add_screens(GtkWidget* menu);
  void update_menu();

  void connect_signals();
  void update();
  void take(const WindowHost::Picture& picture);
  void resize_picture(int width, int height);
  void fit_window();
  Place where() const;
  void draw(cairo_t* to);
  void update_title();
  void update_cursor();
  void take_grab();
  void release_grab();
  void toggle_grab();
  void toggle_full_screen();
  void set_zoom(double zoom);
  void set_zoom_to_fit(bool on);
  void screenshot();
  bool shortcut(const GdkEventKey& event);
  void key(const GdkEventKey& event);
  void motion(double x, double y);
  void keep_inside(double x, double y);
  void button(const GdkEventButton& event);
  void scroll(const GdkEventScroll& event);

  WindowHost& host_;
  WindowOptions options_;
  GtkWidget* window_ = nullptr;
  GtkWidget* area_ = nullptr;
  GtkWidget* menu_bar_ = nullptr;
  GtkWidget* pause_item_ = nullptr;
  GtkWidget* full_screen_item_ = nullptr;
  GtkWidget* fit_item_ = nullptr;
  GtkWidget* grab_item_ = nullptr;
  bool updating_menu_ = false;  // check items report what the program sets, too
  cairo_surface_t* picture_ = nullptr;
  int width_ = 0, height_ = 0;
  double zoom_ = 1;
  bool zoom_to_fit_, full_screen_, hover_ = options_.grab_on_hover;
  bool grabbed_ = false, grabbed_by_hand_ = false, cursor_hidden_ = false;
  bool have_last_ = false, sized_ = false;
  double last_x_ = 0, last_y_ = 0, scrolled_ = 0;
};

}  // namespace rhea::display
