// The SDL 2 window: the selected screen as a texture, keys of the window itself behind Ctrl+Alt.
//
// Ctrl+Alt+G grab, F full screen, U the picture's own size, S screenshot, R reset, P power button, Space
// pause, Q quit, 1..9 the screens. Runs in the thread that rhea_make_window() was called in.
#include <SDL2/SDL.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <string>

#include "display/window/window.h"

namespace rhea::display {

namespace {

constexpr int kMaxPlace = 0x7fff;
constexpr const char* kGrabHint = " - Press Ctrl-Alt-G to exit grab";

std::string screenshot_name() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof(text), "rhea-screenshot-%Y%m%d-%H%M%S.png", &parts));
}

class SdlWindow final : public WindowToolkit {
 public:
  SdlWindow(WindowHost& host, const WindowOptions& options)
      : host_(host),
        options_(options),
        full_screen_(options.full_screen),
        wake_event_(SDL_RegisterEvents(1)) {}
  ~SdlWindow() override {
    if (texture_ != nullptr) SDL_DestroyTexture(texture_);
    if (renderer_ != nullptr) SDL_DestroyRenderer(renderer_);
    if (window_ != nullptr) SDL_DestroyWindow(window_);
    SDL_Quit();
  }
  SdlWindow(const SdlWindow&) = delete;
  SdlWindow& operator=(const SdlWindow&) = delete;

  bool open(std::string& error) {
    window_ = SDL_CreateWindow("QEMU", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, width_, height_,
                               SDL_WINDOW_RESIZABLE);
    if (window_ != nullptr) renderer_ = SDL_CreateRenderer(window_, -1, 0);
    if (renderer_ == nullptr) {
      error = std::string("sdl: ") + SDL_GetError();
      return false;
    }
    if (full_screen_) SDL_SetWindowFullscreen(window_, SDL_WINDOW_FULLSCREEN_DESKTOP);
    make_texture();
    update_title();
    return true;
  }

  void run() override {
    SDL_Event event;
    while (!stopping_) {
      if (SDL_WaitEvent(&event) == 0) continue;
      handle(event);
      while (!stopping_ && SDL_PollEvent(&event) != 0) handle(event);
      if (stale_) draw();
    }
  }
  void wake() override { push(); }
  void stop() override {
    stopping_ = true;
    push();
  }

 private:
  void push() {
    SDL_Event event{};
    event.type = wake_event_;
    SDL_PushEvent(&event);
  }

  void make_texture() {
    if (texture_ != nullptr) SDL_DestroyTexture(texture_);
    texture_ =
        SDL_CreateTexture(renderer_, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING, width_, height_);
    SDL_RenderSetLogicalSize(renderer_, width_, height_);
  }

  void update() {
    host_.with_picture([this](const WindowHost::Picture& picture) {
      const int width = static_cast<int>(picture.width), height = static_cast<int>(picture.height);
      if (width != width_ || height != height_) {
        width_ = width;
        height_ = height;
        make_texture();
        if (!full_screen_ && !resized_by_hand_) SDL_SetWindowSize(window_, width, height);
      }
      const SDL_Rect area{static_cast<int>(picture.x), static_cast<int>(picture.y),
                          static_cast<int>(picture.changed_width), static_cast<int>(picture.changed_height)};
      SDL_UpdateTexture(texture_, &area, picture.pixels + size_t{picture.y} * picture.width + picture.x,
                        width * 4);
      stale_ = true;
    });
    if (host_.wants_places() && grabbed_ && !grabbed_by_hand_) grab(false);
    SDL_ShowCursor(!options_.show_cursor && (grabbed_ || host_.wants_places()) ? SDL_DISABLE : SDL_ENABLE);
    update_title();
  }

  void draw() {
    stale_ = false;
    SDL_SetRenderDrawColor(renderer_, 0, 0, 0, 255);
    SDL_RenderClear(renderer_);
    SDL_RenderCopy(renderer_, texture_, nullptr, nullptr);
    SDL_RenderPresent(renderer_);
  }

  void update_title() {
    std::string title = host_.title();
    if (!host_.running()) title += " [Stopped]";
    if (grabbed_) title += kGrabHint;
    if (title == shown_title_) return;
    shown_title_ = title;
    SDL_SetWindowTitle(window_, title.c_str());
  }

  void grab(bool on) {
    grabbed_ = on;
    if (!on) grabbed_by_hand_ = false;
    SDL_SetRelativeMouseMode(on && !host_.wants_places() ? SDL_TRUE : SDL_FALSE);
    SDL_SetWindowGrab(window_, on ? SDL_TRUE : SDL_FALSE);
    update_title();
  }

  void toggle_full_screen() {
    full_screen_ = !full_screen_;
    SDL_SetWindowFullscreen(window_, full_screen_ ? static_cast<Uint32>(SDL_WINDOW_FULLSCREEN_DESKTOP) : 0);
    stale_ = true;
  }

  bool shortcut(const SDL_KeyboardEvent& event) {
    const bool control = (event.keysym.mod & KMOD_CTRL) != 0, alt = (event.keysym.mod & KMOD_ALT) != 0;
    if (!control || !alt) return false;
    switch (event.keysym.sym) {
      case SDLK_g:
        grab(!grabbed_);
        grabbed_by_hand_ = grabbed_;
        break;
      case SDLK_f: toggle_full_screen(); break;
      case SDLK_u:
        resized_by_hand_ = false;
        SDL_SetWindowSize(window_, width_, height_);
        break;
      case SDLK_s: host_.screenshot(screenshot_name()); break;
      case SDLK_r: host_.act(WindowAction::Reset); break;
      case SDLK_p: host_.act(WindowAction::PowerDown); break;
      case SDLK_SPACE: host_.act(host_.running() ? WindowAction::Pause : WindowAction::Continue); break;
      case SDLK_q: host_.act(WindowAction::Quit); break;
      default: {
        const int screen = event.keysym.sym - SDLK_1;
        if (screen < 0 || screen >= static_cast<int>(host_.screens())) return false;
        host_.select(static_cast<unsigned>(screen));
      }
    }
    host_.release_keys();
    return true;
  }

  void key(const SDL_KeyboardEvent& event) {
    const bool down = event.type == SDL_KEYDOWN;
    if (down && event.repeat == 0 && shortcut(event)) return;
    // SDL's scan codes are USB's usages.
    if (event.keysym.scancode < 0x100) host_.key_usb(event.keysym.scancode, down);
  }

  // With a logical size, SDL reports places in the picture's own pixels.
  void motion(const SDL_MouseMotionEvent& event) {
    if (host_.wants_places()) {
      if (event.x < 0 || event.y < 0 || event.x >= width_ || event.y >= height_) return;
      host_.place(event.x * kMaxPlace / std::max(width_ - 1, 1),
                  event.y * kMaxPlace / std::max(height_ - 1, 1));
    } else if (grabbed_) {
      host_.motion(event.xrel, event.yrel);
    }
  }

  void button(const SDL_MouseButtonEvent& event) {
    const bool down = event.type == SDL_MOUSEBUTTONDOWN;
    if (!host_.wants_places() && !grabbed_) {
      if (down && event.button == SDL_BUTTON_LEFT) grab(true);
      return;
    }
    if (event.button >= SDL_BUTTON_LEFT && event.button <= SDL_BUTTON_X2)
      host_.button(static_cast<unsigned>(event.button - SDL_BUTTON_LEFT), down);
  }

  void window_event(const SDL_WindowEvent& event) {
    switch (event.event) {
      case SDL_WINDOWEVENT_RESIZED:
        resized_by_hand_ = event.data1 != width_ || event.data2 != height_;
        if (resized_by_hand_)
          host_.size_wanted(static_cast<unsigned>(std::max(event.data1, 1)),
                            static_cast<unsigned>(std::max(event.data2, 1)));
        stale_ = true;
        break;
      case SDL_WINDOWEVENT_SIZE_CHANGED:
      case SDL_WINDOWEVENT_EXPOSED: stale_ = true; break;
      case SDL_WINDOWEVENT_FOCUS_LOST:
        host_.release_keys();
        if (grabbed_ && !full_screen_) grab(false);
        break;
      case SDL_WINDOWEVENT_CLOSE:
        if (options_.window_close) host_.act(WindowAction::Quit);
        break;
      default: break;
    }
  }

  void handle(const SDL_Event& event) {
    switch (event.type) {
      case SDL_KEYDOWN:
      case SDL_KEYUP: key(event.key); break;
      case SDL_MOUSEMOTION: motion(event.motion); break;
      case SDL_MOUSEBUTTONDOWN:
      case SDL_MOUSEBUTTONUP: button(event.button); break;
      case SDL_MOUSEWHEEL: host_.wheel(-event.wheel.y, event.wheel.x); break;
      case SDL_WINDOWEVENT: window_event(event.window); break;
      default:
        if (event.type == wake_event_) update();
        break;
    }
  }

  WindowHost& host_;
  WindowOptions options_;
  SDL_Window* window_ = nullptr;
  SDL_Renderer* renderer_ = nullptr;
  SDL_Texture* texture_ = nullptr;
  int width_ = 640, height_ = 480;
  bool full_screen_, grabbed_ = false, grabbed_by_hand_ = false, resized_by_hand_ = false, stale_ = true;
  Uint32 wake_event_;
  std::string shown_title_;
  std::atomic<bool> stopping_{false};
};

}  // namespace
}  // namespace rhea::display

extern "C" [[gnu::visibility("default")]] rhea::display::WindowToolkit* rhea_make_window(
    rhea::display::WindowHost& host, const rhea::display::WindowOptions& options, std::string& error) {
  SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
  SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
  if (SDL_Init(SDL_INIT_VIDEO) != 0) {
    error = std::string("sdl: ") + SDL_GetError();
    return nullptr;
  }
  auto* window = new rhea::display::SdlWindow(host, options);
  if (window->open(error)) return window;
  delete window;
  return nullptr;
}
