// What a message leaves open: what is accepted instead. For people: qemu-img's own messages, which scripts
// may know, stay as they are, and under its name there are no hints.
#pragma once

#include <string>
#include <string_view>

namespace rhea::img {

// Empty: there is nothing to add.
std::string hint_for(std::string_view message);

}  // namespace rhea::img
