#include "display/input.h"

#include <algorithm>
#include <utility>

namespace rhea::display {

namespace {

template <class List, class Match>
void move_to_front(List& list, Match match) {
  const auto at = std::find_if(list.begin(), list.end(), match);
  if (at != list.end()) std::rotate(list.begin(), at, at + 1);
}

template <class List, class Match>
void move_to_back(List& list, Match match) {
  const auto at = std::find_if(list.begin(), list.end(), match);
  if (at != list.end()) std::rotate(at, at + 1, list.end());
}

}  // namespace

bool InputHub::begin() {
  if (!running_) return false;
  if (activity_) activity_();
  return true;
}

void InputHub::key(Key key, bool down) {
  const auto index = static_cast<unsigned>(key);
  if (key == Key::Unmapped || index >= kKeyCount || !begin()) return;
  down_[index] = down;
  if (!keyboards_.empty()) keyboards_.front()->key(key, down);
}

PointerSink* InputHub::pointer(bool places) const {
  for (const NumberedPointer& at : pointers_) {
    if (at.sink->takes_places() == places) return at.sink;
  }
  return nullptr;
}

void InputHub::pointer_relative(int dx, int dy) {
  PointerSink* sink = pointer(false);
  if ((dx == 0 && dy == 0) || sink == nullptr || !begin()) return;
  sink->motion(dx, dy);
  if (std::ranges::find(unsynced_, sink) == unsynced_.end()) unsynced_.push_back(sink);
}

void InputHub::pointer_absolute(int x, int y) {
  PointerSink* sink = pointer(true);
  if (sink == nullptr || !begin()) return;
  sink->place(std::clamp(x, 0, kMaxPlace), std::clamp(y, 0, kMaxPlace));
  if (std::ranges::find(unsynced_, sink) == unsynced_.end()) unsynced_.push_back(sink);
}

void InputHub::button(Button button, bool down) {
  PointerSink* sink = first_pointer();
  if (static_cast<unsigned>(button) >= kButtonCount || sink == nullptr || !begin()) return;
  sink->button(button, down);
  if (std::ranges::find(unsynced_, sink) == unsynced_.end()) unsynced_.push_back(sink);
}

void InputHub::wheel(int dz, int dw) {
  PointerSink* sink = first_pointer();
  if ((dz == 0 && dw == 0) || sink == nullptr || !begin()) return;
  sink->wheel(dz, dw);
  if (std::ranges::find(unsynced_, sink) == unsynced_.end()) unsynced_.push_back(sink);
}

void InputHub::sync() {
  for (PointerSink* sink : std::exchange(unsynced_, {})) sink->sync();
}

bool InputHub::wants_places() const {
  const PointerSink* sink = first_pointer();
  return sink != nullptr && sink->takes_places();
}

void InputHub::listen(InputListener& listener) {
  listeners_.push_back(&listener);
}

void InputHub::unlisten(InputListener& listener) {
  std::erase(listeners_, &listener);
}

void InputHub::add(KeyboardSink& sink) {
  keyboards_.push_back(&sink);
}

void InputHub::remove(KeyboardSink& sink) {
  std::erase(keyboards_, &sink);
}

void InputHub::activate(KeyboardSink& sink) {
  move_to_front(keyboards_, [&](KeyboardSink* at) { return at == &sink; });
}

void InputHub::deactivate(KeyboardSink& sink) {
  move_to_back(keyboards_, [&](KeyboardSink* at) { return at == &sink; });
}

void InputHub::set_indicators(const KeyboardSink& sink, unsigned leds) {
  if (keyboards_.empty() || keyboards_.front() != &sink || indicators_ == leds) return;
  indicators_ = leds;
  const auto listeners = listeners_;
  for (InputListener* listener : listeners) listener->indicators_changed(leds);
}

// Does what changes the order and tells listeners if viewers have to send something else from now on.
template <class Change>
void InputHub::change_pointers(Change change) {
  const bool before = wants_places();
  change();
  if (wants_places() == before) return;
  const auto listeners = listeners_;
  for (InputListener* listener : listeners) listener->pointer_kind_changed(!before);
}

void InputHub::add(PointerSink& sink) {
  change_pointers([&] { pointers_.push_back({&sink, next_index_++}); });
}

void InputHub::remove(PointerSink& sink) {
  std::erase(unsynced_, &sink);
  change_pointers(
      [&] { std::erase_if(pointers_, [&](const NumberedPointer& at) { return at.sink == &sink; }); });
}

void InputHub::activate(PointerSink& sink) {
  change_pointers(
      [&] { move_to_front(pointers_, [&](const NumberedPointer& at) { return at.sink == &sink; }); });
}

void InputHub::deactivate(PointerSink& sink) {
  change_pointers(
      [&] { move_to_back(pointers_, [&](const NumberedPointer& at) { return at.sink == &sink; }); });
}

std::vector<InputHub::Pointer> InputHub::pointers() const {
  std::vector<Pointer> list;
  for (const NumberedPointer& at : pointers_) {
    list.push_back(
        {at.index, std::string(at.sink->input_name()), at.sink->takes_places(), at.sink == first_pointer()});
  }
  std::ranges::sort(list, {}, &Pointer::index);
  return list;
}

bool InputHub::select_pointer(unsigned index) {
  const auto at = std::ranges::find(pointers_, index, &NumberedPointer::index);
  if (at == pointers_.end()) return false;
  activate(*at->sink);
  return true;
}

}  // namespace rhea::display
