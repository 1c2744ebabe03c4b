// What messages of base/log.h begin with besides the program's name. Any thread.
#pragma once

#include <string>

namespace rhea {

// From now on the time, as in RFC 3339, and the machine's name unless it is empty.
void set_message_prefix(bool timestamp, std::string machine);

}  // namespace rhea
