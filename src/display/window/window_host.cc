#include "display/window/window_host.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <future>

#include "base/failf.h"
#include "base/log.h"
#include "display/image_file.h"
#include "display/window/evdev_keys.h"

namespace rhea::display {

namespace {

// Beside the program, as built, or where `install` puts modules.
std::vector<std::string> module_paths(const std::string& toolkit) {
  const std::string name = "rhea-ui-" + toolkit + ".so";
  std::vector<std::string> paths;
  char self[PATH_MAX] = {};
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (length > 0) {
    const std::string program(self, static_cast<size_t>(length));
    const std::string folder = program.substr(0, program.rfind('/'));
    paths = {folder + "/" + name, folder + "/../lib/rhea/" + name, folder + "/../../display/" + name};
  }
  return paths;
}

std::string find_module(const std::string& toolkit) {
  for (const std::string& path : module_paths(toolkit)) {
    if (::access(path.c_str(), R_OK) == 0) return path;
  }
  return "";
}

}  // namespace

bool Window::available(const std::string& toolkit) {
  return !find_module(toolkit).empty();
}

Window::Window(Wiring wiring) : wiring_(std::move(wiring)), wants_places_(wiring_.input.wants_places()) {
  for (size_t i = 0; i < wiring_.screens.size(); ++i) names_.push_back(wiring_.screens.at(i).label());
  wiring_.input.listen(*this);
}

Result<std::unique_ptr<Window>> Window::open(Wiring wiring, const std::string& toolkit,
                                             const WindowOptions& options) {
  std::unique_ptr<Window> window(new Window(std::move(wiring)));
  TRY(window->start(toolkit, options));
  window->look_at(0);
  return window;
}

Result<> Window::start(const std::string& toolkit, const WindowOptions& options) {
  const std::string path = find_module(toolkit);
  if (path.empty())
    return failf(ErrorKind::NotFound, "there is no module rhea-ui-{}.so (was it built?)", toolkit);
  // Never unloaded: toolkits leave threads and exit handlers behind.
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return failf(ErrorKind::NotFound, "{}", ::dlerror());
  auto* make = reinterpret_cast<MakeWindow*>(::dlsym(module, kMakeWindow));
  if (make == nullptr) return failf(ErrorKind::NotFound, "{} is no module of this program", path);
  std::promise<std::string> started;
  std::future<std::string> outcome = started.get_future();
  thread_ = std::thread([this, make, options, &started] {
    std::string error;
    std::unique_ptr<WindowToolkit> made((*make)(*this, options, error));
    if (made == nullptr) {
      started.set_value(error.empty() ? "failed" : error);
      return;
    }
    toolkit_ = made.get();
    started.set_value("");
    made->run();
    const std::lock_guard guard(mutex_);
    toolkit_ = nullptr;
  });
  const std::string error = outcome.get();
  if (!error.empty()) return fail(ErrorKind::Unsupported, error);
  return {};
}

Window::~Window() {
  *alive_ = false;
  if (looked_at_ != nullptr) looked_at_->remove(*this);
  wiring_.input.unlisten(*this);
  if (!thread_.joinable()) return;
  {
    const std::lock_guard guard(mutex_);
    if (WindowToolkit* toolkit = toolkit_) toolkit->stop();
  }
  thread_.join();
}

void Window::wake() {
  if (woken_.exchange(true)) return;
  const std::lock_guard guard(mutex_);
  if (WindowToolkit* toolkit = toolkit_) toolkit->wake();
}

void Window::set_running(bool running) {
  running_ = running;
  wake();
}

void Window::pointer_kind_changed(bool places) {
  wants_places_ = places;
  wake();
}

// Machine lock.
void Window::look_at(unsigned screen) {
  if (screen >= wiring_.screens.size()) return;
  Screen& wanted = wiring_.screens.at(screen);
  if (&wanted == looked_at_) return;
  if (looked_at_ != nullptr) looked_at_->remove(*this);
  looked_at_ = &wanted;
  wanted.add(*this);
}

void Window::surface_changed(const Surface& surface) {
  {
    const std::lock_guard guard(mutex_);
    width_ = surface.width();
    height_ = surface.height();
    pixels_.assign(size_t{width_} * height_, 0);
    dirty_ = {};  // what was to be redrawn may lie outside now
  }
  copy({0, 0, surface.width(), surface.height()});
}

void Window::changed(const Rect& area) {
  copy(area);
}

void Window::copy(const Rect& area) {
  const Surface& surface = looked_at_->surface();
  {
    const std::lock_guard guard(mutex_);
    const Rect inside = area.clipped(std::min(width_, surface.width()), std::min(height_, surface.height()));
    for (unsigned y = inside.y; y < inside.y + inside.height; ++y)
      std::memcpy(pixels_.data() + size_t{y} * width_ + inside.x, surface.row(y).data() + inside.x,
                  size_t{inside.width} * sizeof(uint32_t));
    dirty_ = dirty_.united(inside);
  }
  wake();
}

void Window::with_picture(const std::function<void(const Picture&)>& use) {
  woken_ = false;
  const std::lock_guard guard(mutex_);
  if (dirty_.empty()) return;
  use({pixels_.data(), width_, height_, dirty_.x, dirty_.y, dirty_.width, dirty_.height});
  dirty_ = {};
}

void Window::post(std::function<void()> work) {
  wiring_.loop.post([alive = alive_, work = std::move(work)] {
    if (*alive) work();
  });
}

void Window::select(unsigned screen) {
  post([this, screen] { look_at(screen); });
}

void Window::key(Key key, bool down) {
  std::erase(held_, key);
  if (down) held_.push_back(key);
  if (looked_at_ == nullptr || !looked_at_->key(key, down)) wiring_.input.key(key, down);
}

void Window::key_evdev(unsigned code, bool down) {
  if (const auto found = key_by_evdev(code)) post([this, found, down] { key(*found, down); });
}

void Window::key_usb(unsigned usage, bool down) {
  if (const auto found = display::key_by_usb(usage)) post([this, found, down] { key(*found, down); });
}

void Window::release_keys() {
  post([this] {
    while (!held_.empty()) key(Key{held_.back()}, false);
  });
}

void Window::motion(int dx, int dy) {
  post([this, dx, dy] {
    wiring_.input.pointer_relative(dx, dy);
    wiring_.input.sync();
  });
}

void Window::place(int x, int y) {
  post([this, x, y] {
    wiring_.input.pointer_absolute(x, y);
    wiring_.input.sync();
  });
}

void Window::button(unsigned button, bool down) {
  if (button >= kButtonCount) return;
  post([this, button, down] {
    wiring_.input.button(static_cast<Button>(button), down);
    wiring_.input.sync();
  });
}

void Window::wheel(int dz, int dw) {
  post([this, dz, dw] {
    wiring_.input.wheel(dz, dw);
    wiring_.input.sync();
  });
}

void Window::act(WindowAction action) {
  post([this, action] { wiring_.act(action); });
}

void Window::size_wanted(unsigned width, unsigned height) {
  post([this, width, height] {
    if (looked_at_ != nullptr) looked_at_->want_size(width, height);
  });
}

// Encoded in the toolkit's thread, from its own copy.
void Window::screenshot(const std::string& path) {
  Surface copy(1, 1);
  {
    const std::lock_guard guard(mutex_);
    copy = Surface(std::max(width_, 1u), std::max(height_, 1u));
    std::copy(pixels_.begin(), pixels_.end(), copy.pixels());
  }
  if (auto written = write_image(copy, ImageFormat::Png, path); !written)
    log_error("screenshot: {}", written.error().message());
}

}  // namespace rhea::display
