// Passwords by name, for encrypted images and network protocols: --object secret,id=ID,data=TEXT or
// file=NAME, with format=raw or base64. Encrypted secrets (keyid=, iv=) are not offered. The main thread
// fills it before images are opened.
#pragma once

#include <string>

#include "base/result.h"
#include "config/key_values.h"

namespace rhea::block {

// The properties of the object but its type and its id.
Result<> add_secret(const std::string& id, config::KeyValues properties);
// "No secret with id 'ID'".
Result<std::string> password_of(const std::string& id);

}  // namespace rhea::block
