// Keys, pointers and pictures of screens.
#include "display/input.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "display/image_file.h"
#include "display/key_sender.h"
#include "display/screens.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

namespace {

using display::Button;
using display::Key;

constexpr int64_t kMostKeys = 16;
constexpr int64_t kMs = 1'000'000;

std::unexpected<Error> no_input() {
  return fail(ErrorKind::Invalid, "this machine has no input devices");
}

Result<Json> sendkey(Call& call) {
  if (call.vm.key_sender == nullptr) return no_input();
  std::string words = call.text("keys");
  std::vector<Key> keys;
  for (std::string_view rest = words;;) {
    // The key minus is written "minus", so every '-' separates.
    auto dash = rest.find('-');
    std::string_view word = rest.substr(0, dash);
    auto key = display::key_by_word(word);
    if (!key) return Json(fmt::format("invalid parameter: {}\n", word));
    if (keys.size() == kMostKeys) return Json("too many keys\n");
    keys.push_back(*key);
    if (dash == rest.npos) break;
    rest = rest.substr(dash + 1);
  }
  int64_t hold = std::clamp<int64_t>(call.number("hold_time", 100), 0, 3'600'000);
  call.vm.key_sender->send(std::move(keys), hold * kMs);
  return Json();
}

// {"type": "qcode", "data": "a"} or {"type": "number", "data": 30}
Result<Key> key_value(const Json& value) {
  auto text = [&value](const char* name) {
    return value.is_object() && value.contains(name) && value[name].is_string()
               ? value[name].get<std::string>()
               : "";
  };
  std::string type = text("type");
  if (type != "qcode" && type != "number")
    return failf(ErrorKind::Invalid, "Parameter 'type' does not accept value '{}'", type);
  std::optional<Key> key;
  if (type == "qcode") {
    key = display::key_by_name(text("data"));
    if (!key) return failf(ErrorKind::Invalid, "Parameter 'data' does not accept value '{}'", text("data"));
  } else {
    if (!value.contains("data") || !value["data"].is_number_integer())
      return fail(ErrorKind::Invalid, "Invalid parameter type for 'data', expected: integer");
    int64_t number = value["data"].get<int64_t>();
    key = number >= 0 && number < 0x100 ? display::key_by_qnum(static_cast<uint32_t>(number)) : std::nullopt;
    if (!key) return failf(ErrorKind::Invalid, "there is no key with the number {}", number);
  }
  return *key;
}

Result<Json> send_key(Call& call) {
  if (call.vm.key_sender == nullptr) return no_input();
  std::vector<Key> keys;
  for (const Json& value : call.arguments["keys"]) {
    if (static_cast<int64_t>(keys.size()) == kMostKeys) return fail(ErrorKind::Invalid, "too many keys");
    keys.push_back(TRY(key_value(value)));
  }
  int64_t hold = std::clamp<int64_t>(call.number("hold-time", 100), 0, 3'600'000);
  if (!keys.empty()) call.vm.key_sender->send(std::move(keys), hold * kMs);
  return Json();
}

std::optional<Button> button_by_name(std::string_view name) {
  constexpr std::pair<std::string_view, Button> kNames[] = {{"left", Button::Left},
                                                            {"middle", Button::Middle},
                                                            {"right", Button::Right},
                                                            {"side", Button::Side},
                                                            {"extra", Button::Extra}};
  for (auto [known, button] : kNames) {
    if (known == name) return button;
  }
  return std::nullopt;
}

struct Event {
  enum class Kind : uint8_t { Key, Button, Wheel, Relative, Absolute } kind;
  Key key = Key::Unmapped;
  Button button = Button::Left;
  bool down = false, vertical = false;
  int value = 0;
};

Result<Event> pointer_event(const std::string& type, const Json& data) {
  if (type == "btn") {
    std::string name =
        data.contains("button") && data["button"].is_string() ? data["button"].get<std::string>() : "";
    if (!data.contains("down") || !data["down"].is_boolean())
      return fail(ErrorKind::Invalid, "Parameter 'down' is missing");
    bool down = data["down"].get<bool>();
    if (name.starts_with("wheel-")) {
      bool good = name == "wheel-up" || name == "wheel-down" || name == "wheel-left" || name == "wheel-right";
      if (!good) return failf(ErrorKind::Invalid, "Parameter 'button' does not accept value '{}'", name);
      int step = name == "wheel-down" || name == "wheel-right" ? 1 : -1;
      return Event{.kind = Event::Kind::Wheel,
                   .down = down,
                   .vertical = name == "wheel-up" || name == "wheel-down",
                   .value = step};
    }
    auto button = button_by_name(name);
    if (!button) return failf(ErrorKind::Invalid, "Parameter 'button' does not accept value '{}'", name);
    return Event{.kind = Event::Kind::Button, .button = *button, .down = down};
  }
  std::string axis = data.contains("axis") && data["axis"].is_string() ? data["axis"].get<std::string>() : "";
  if (axis != "x" && axis != "y")
    return failf(ErrorKind::Invalid, "Parameter 'axis' does not accept value '{}'", axis);
  if (!data.contains("value") || !data["value"].is_number_integer())
    return fail(ErrorKind::Invalid, "Parameter 'value' is missing");
  auto value = static_cast<int>(
      std::clamp<int64_t>(data["value"].get<int64_t>(), -display::kMaxPlace, display::kMaxPlace));
  return Event{.kind = type == "rel" ? Event::Kind::Relative : Event::Kind::Absolute,
               .vertical = axis == "y",
               .value = value};
}

Result<Event> parse_event(const Json& event) {
  bool good = event.is_object() && event.contains("type") && event["type"].is_string() &&
              event.contains("data") && event["data"].is_object();
  if (!good) return fail(ErrorKind::Invalid, "Parameter 'type' is missing");
  std::string type = event["type"].get<std::string>();
  const Json& data = event["data"];
  if (type == "btn" || type == "rel" || type == "abs") return pointer_event(type, data);
  if (type != "key") return failf(ErrorKind::Invalid, "Parameter 'type' does not accept value '{}'", type);
  if (!data.contains("down") || !data["down"].is_boolean() || !data.contains("key"))
    return fail(ErrorKind::Invalid, "Parameter 'down' is missing");
  Key key = TRY(key_value(data["key"]));
  return Event{.kind = Event::Kind::Key, .key = key, .down = data["down"].get<bool>()};
}

// All are checked before the first one happens.
Result<Json> input_send_event(Call& call) {
  if (call.vm.input == nullptr) return no_input();
  std::vector<Event> events;
  for (const Json& event : call.arguments["events"]) events.push_back(TRY(parse_event(event)));
  display::InputHub& hub = *call.vm.input;
  int dx = 0, dy = 0, x = -1, y = -1;
  for (const Event& e : events) {
    switch (e.kind) {
      case Event::Kind::Key: hub.key(e.key, e.down); break;
      case Event::Kind::Button: hub.button(e.button, e.down); break;
      case Event::Kind::Wheel:
        if (e.down) e.vertical ? hub.wheel(e.value) : hub.wheel(0, e.value);
        break;
      case Event::Kind::Relative: (e.vertical ? dy : dx) += e.value; break;
      case Event::Kind::Absolute: (e.vertical ? y : x) = std::max(e.value, 0); break;
    }
  }
  if (dx != 0 || dy != 0) hub.pointer_relative(dx, dy);
  if (x >= 0 || y >= 0) hub.pointer_absolute(std::max(x, 0), std::max(y, 0));
  hub.sync();
  return Json();
}

Result<Json> mouse_move(Call& call) {
  if (call.vm.input == nullptr) return no_input();
  auto number = [&call](const char* name) {
    std::string text = call.text(name);
    return static_cast<int>(std::clamp<long>(std::strtol(text.c_str(), nullptr, 0), -32767, 32767));
  };
  display::InputHub& hub = *call.vm.input;
  if (hub.wants_places()) {
    hub.pointer_absolute(std::max(number("dx"), 0), std::max(number("dy"), 0));
  } else {
    hub.pointer_relative(number("dx"), number("dy"));
  }
  if (int dz = number("dz"); dz != 0) hub.wheel(dz < 0 ? -1 : 1);
  hub.sync();
  return Json();
}

Result<Json> mouse_button(Call& call) {
  if (call.vm.input == nullptr) return no_input();
  auto state = static_cast<uint64_t>(call.number("button_state"));
  constexpr Button kBits[] = {Button::Left, Button::Middle, Button::Right};
  for (unsigned i = 0; i < 3; ++i) call.vm.input->button(kBits[i], (state >> i & 1) != 0);
  call.vm.input->sync();
  return Json();
}

Result<Json> mouse_set(Call& call) {
  if (call.vm.input == nullptr) return no_input();
  auto index = static_cast<uint64_t>(call.number("index"));
  if (index > UINT32_MAX || !call.vm.input->select_pointer(static_cast<unsigned>(index)))
    return failf(ErrorKind::Invalid, "Mouse at index '{}' not found", index);
  return Json();
}

Result<Json> query_mice(Call& call) {
  if (call.vm.input == nullptr) return no_input();
  Json list = Json::array();
  for (const auto& pointer : call.vm.input->pointers())
    list.push_back({{"index", pointer.index},
                    {"name", pointer.name},
                    {"current", pointer.current},
                    {"absolute", pointer.places}});
  return list;
}

std::string show_mice(const Json& list) {
  if (list.empty()) return "No mouse devices connected\n";
  std::string text;
  for (const Json& mouse : list)
    text += fmt::format("{} Mouse #{}: {}{}\n", mouse["current"].get<bool>() ? '*' : ' ',
                        mouse["index"].get<unsigned>(), mouse["name"].get<std::string>(),
                        mouse["absolute"].get<bool>() ? " (absolute)" : "");
  return text;
}

// The picture that a screendump is to write.
Result<display::Surface> take_picture(Call& call) {
  if (call.number("head") != 0 && !call.has("device"))
    return fail(ErrorKind::Invalid, "'head' must be specified together with 'device'");
  std::scoped_lock hold(call.vm.vm.lock());
  display::Screens* screens = call.vm.screens;
  display::Screen* screen = screens == nullptr ? nullptr : &screens->primary();
  if (screens != nullptr && call.has("device")) {
    screen = screens->find(call.text("device"));
    if (screen == nullptr) return device_not_found(call.text("device"));
    if (call.number("head") != 0)
      return failf(ErrorKind::Invalid, "Device {} (head {}) is not bound to a QemuConsole",
                   call.text("device"), call.number("head"));
  }
  if (screen == nullptr || !screen->has_source())
    return fail(ErrorKind::Invalid, "There is no console to take a screendump from");
  screen->refresh();
  return display::Surface(screen->surface());
}

// Taken under the lock; packed and written in the background.
void screendump(Call& call, Answer answer) {
  std::string name = call.has("format") ? call.text("format") : "ppm";
  auto format = display::image_format(name);
  if (!format)
    return answer(failf(ErrorKind::Invalid, "Parameter 'format' does not accept value '{}'", name));
  auto picture = take_picture(call);
  if (!picture) return answer(std::unexpected(picture.error()));
  auto result = std::make_shared<Result<Json>>();
  auto write = [picture = std::make_shared<display::Surface>(std::move(*picture)), format = *format,
                path = call.text("filename"), result] {
    if (auto written = display::write_image(*picture, format, path); !written)
      *result = failf(ErrorKind::Io, "failed to open file '{}': {}", path, written.error().text());
  };
  call.monitor.in_background(write, [result, answer = std::move(answer)] { answer(std::move(*result)); });
}

}  // namespace

std::span<const Command> input_commands() {
  static const std::vector<Command> rows = {
      {nullptr,
       "sendkey",
       "keys [hold_ms]",
       "send keys to the VM (e.g. 'sendkey ctrl-alt-f1', default hold time=100 ms)",
       {{"keys", Kind::String}, {"hold_time", Kind::Integer, true}},
       sendkey},
      {"send-key", nullptr, "", "", {{"keys", Kind::Array}, {"hold-time", Kind::Integer, true}}, send_key},
      {"input-send-event",
       nullptr,
       "",
       "",
       {{"events", Kind::Array}, {"device", Kind::String, true}, {"head", Kind::Integer, true}},
       input_send_event},
      {nullptr,
       "mouse_move",
       "dx dy [dz]",
       "send mouse move events",
       {{"dx", Kind::String}, {"dy", Kind::String}, {"dz", Kind::String, true}},
       mouse_move},
      {nullptr,
       "mouse_button",
       "state",
       "change mouse button state (1=L, 2=M, 4=R)",
       {{"button_state", Kind::Integer}},
       mouse_button},
      {nullptr,
       "mouse_set",
       "index",
       "set which mouse device receives events",
       {{"index", Kind::Integer}},
       mouse_set},
      {"query-mice",
       "info mice",
       "",
       "show which guest mouse is receiving events",
       {},
       query_mice,
       show_mice},
      {"screendump",
       "screendump",
       "filename [-f format] [device [head]]",
       "save screen from head 'head' of display device 'device'in specified format 'format' as image "
       "'filename'.Currently only 'png' and 'ppm' formats are supported.",
       {{"filename", Kind::Filename},
        {"format", Kind::String, true, 'f'},
        {"device", Kind::String, true},
        {"head", Kind::Integer, true}},
       nullptr,
       nullptr,
       Access::Free,
       screendump},
  };
  return rows;
}

}  // namespace rhea::monitor
