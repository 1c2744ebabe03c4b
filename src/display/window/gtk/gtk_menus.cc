// The menu bar of the GTK window: the machine, and how it is looked at.
#include <array>

#include "display/window/gtk/gtk_window.h"

namespace rhea::display {

namespace {

using Chosen = void (*)(GtkWidget*, gpointer);

GtkWidget* add_item(GtkWidget* menu, GtkWidget* item, Chosen chosen, gpointer data) {
  g_signal_connect(item, GTK_IS_CHECK_MENU_ITEM(item) ? "toggled" : "activate", G_CALLBACK(chosen), data);
  gtk_menu_shell_append(GTK_MENU_SHELL(menu), item);
  return item;
}

GtkWidget* add_plain(GtkWidget* menu, const char* label, Chosen chosen, gpointer data) {
  return add_item(menu, gtk_menu_item_new_with_mnemonic(label), chosen, data);
}

GtkWidget* add_check(GtkWidget* menu, const char* label, bool on, Chosen chosen, gpointer data) {
  GtkWidget* item = gtk_check_menu_item_new_with_mnemonic(label);
  gtk_check_menu_item_set_active(GTK_CHECK_MENU_ITEM(item), on ? TRUE : FALSE);
  return add_item(menu, item, chosen, data);
}

void add_line(GtkWidget* menu) {
  gtk_menu_shell_append(GTK_MENU_SHELL(menu), gtk_separator_menu_item_new());
}

bool is_on(GtkWidget* item) {
  return gtk_check_menu_item_get_active(GTK_CHECK_MENU_ITEM(item)) != FALSE;
}

void set_on(GtkWidget* item, bool on) {
  gtk_check_menu_item_set_active(GTK_CHECK_MENU_ITEM(item), on ? TRUE : FALSE);
}

GtkWidget* top_item(const char* label, GtkWidget* menu) {
  GtkWidget* item = gtk_menu_item_new_with_mnemonic(label);
  gtk_menu_item_set_submenu(GTK_MENU_ITEM(item), menu);
  return item;
}

}  // namespace

GtkWidget* GtkWindowView::make_machine_menu() {
  GtkWidget* menu = gtk_menu_new();
  pause_item_ = add_check(
      menu, "_Pause", false,
      [](GtkWidget* item, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        if (!v.updating_menu_) v.host_.act(is_on(item) ? WindowAction::Pause : WindowAction::Continue);
      },
      this);
  add_line(menu);
  add_plain(
      menu, "_Reset",
      [](GtkWidget*, gpointer data) { static_cast<GtkWindowView*>(data)->host_.act(WindowAction::Reset); },
      this);
  add_plain(
      menu, "Power _Down",
      [](GtkWidget*, gpointer data) {
        static_cast<GtkWindowView*>(data)->host_.act(WindowAction::PowerDown);
      },
      this);
  add_line(menu);
  add_plain(
      menu, "_Screenshot…  (Ctrl+Alt+S)",
      [](GtkWidget*, gpointer data) { static_cast<GtkWindowView*>(data)->screenshot(); }, this);
  add_line(menu);
  add_plain(
      menu, "_Quit  (Ctrl+Alt+Q)",
      [](GtkWidget*, gpointer data) { static_cast<GtkWindowView*>(data)->host_.act(WindowAction::Quit); },
      this);
  return menu;
}

GtkWidget* GtkWindowView::make_view_menu() {
  GtkWidget* menu = gtk_menu_new();
  full_screen_item_ = add_check(
      menu, "_Fullscreen  (Ctrl+Alt+F)", full_screen_,
      [](GtkWidget*, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        if (!v.updating_menu_) v.toggle_full_screen();
      },
      this);
  add_line(menu);
  add_plain(
      menu, "Zoom _In  (Ctrl+Alt++)",
      [](GtkWidget*, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        v.set_zoom(v.zoom_ + 0.25);
      },
      this);
  add_plain(
      menu, "Zoom _Out  (Ctrl+Alt+-)",
      [](GtkWidget*, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        v.set_zoom(v.zoom_ - 0.25);
      },
      this);
  add_plain(
      menu, "Best _Fit  (Ctrl+Alt+0)",
      [](GtkWidget*, gpointer data) { static_cast<GtkWindowView*>(data)->set_zoom(1); }, this);
  fit_item_ = add_check(
      menu, "Zoom To _Fit", zoom_to_fit_,
      [](GtkWidget* item, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        if (!v.updating_menu_) v.set_zoom_to_fit(is_on(item));
      },
      this);
  add_line(menu);
  add_check(
      menu, "Grab On _Hover", hover_,
      [](GtkWidget* item, gpointer data) { static_cast<GtkWindowView*>(data)->hover_ = is_on(item); }, this);
  grab_item_ = add_check(
      menu, "_Grab Input  (Ctrl+Alt+G)", false,
      [](GtkWidget*, gpointer data) {
        auto& v = *static_cast<GtkWindowView*>(data);
        if (!v.updating_menu_) v.toggle_grab();
      },
      this);
  add_line(menu);
  add_screens(menu);
  return menu;
}

void GtkWindowView::add_screens(GtkWidget* menu) {
  GSList* group = nullptr;
  for (unsigned i = 0; i < host_.screens(); ++i) {
    GtkWidget* item = gtk_radio_menu_item_new_with_label(group, host_.screen_name(i).c_str());
    group = gtk_radio_menu_item_get_group(GTK_RADIO_MENU_ITEM(item));
    g_object_set_data(G_OBJECT(item), "screen", GUINT_TO_POINTER(i));
    add_item(
        menu, item,
        [](GtkWidget* chosen, gpointer data) {
          if (is_on(chosen))
            static_cast<GtkWindowView*>(data)->host_.select(
                GPOINTER_TO_UINT(g_object_get_data(G_OBJECT(chosen), "screen")));
        },
        this);
  }
}

GtkWidget* GtkWindowView::make_menus() {
  GtkWidget* bar = gtk_menu_bar_new();
  gtk_menu_shell_append(GTK_MENU_SHELL(bar), top_item("_Machine", make_machine_menu()));
  gtk_menu_shell_append(GTK_MENU_SHELL(bar), top_item("_View", make_view_menu()));
  return bar;
}

void GtkWindowView::update_menu() {
  updating_menu_ = true;
  set_on(pause_item_, !host_.running());
  set_on(full_screen_item_, full_screen_);
  set_on(fit_item_, zoom_to_fit_);
  set_on(grab_item_, grabbed_);
  updating_menu_ = false;
}

}  // namespace rhea::display
