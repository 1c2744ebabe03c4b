// Code page 437, in which PCs write on their screens, and Unicode.
#pragma once

#include <cstdint>

namespace rhea::display {

char32_t from_code_page_437(uint8_t character);
// '?' for what it has not.
uint8_t to_code_page_437(char32_t character);

}  // namespace rhea::display
