// --object secret,id=ID,data=TEXT|file=NAME[,format=raw|base64]: passwords for encrypted images. Other object
// types are not offered.
#pragma once

#include <string_view>

#include "base/result.h"

namespace rhea::img {

Result<> add_object(std::string_view text);

}  // namespace rhea::img
