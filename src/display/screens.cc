#include "display/screens.h"

namespace rhea::display {

Screens::Screens(async::Clock& clock) : clock_(clock) {
  screens_.emplace_back(clock_, "no graphics device");
}

Screen& Screens::add(std::string_view device_id, std::string label) {
  if (screens_.front().taken) screens_.emplace_back(clock_, label);
  Entry& entry = screens_.back();
  entry.taken = true;
  entry.device = device_id;
  entry.screen.set_label(std::move(label));
  return entry.screen;
}

Screen* Screens::find(std::string_view device_id) {
  for (Entry& entry : screens_) {
    if (entry.taken && entry.device == device_id) return &entry.screen;
  }
  return nullptr;
}

}  // namespace rhea::display
