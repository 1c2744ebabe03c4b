// Keys by their codes in Linux' input events (linux/input-event-codes.h), which X11 and Wayland clients see
// too.
#pragma once

#include <optional>

#include "display/key.h"

namespace rhea::display {

std::optional<Key> key_by_evdev(unsigned code);

}  // namespace rhea::display
