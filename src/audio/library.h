// A shared library that is there or not.
#pragma once

#include <dlfcn.h>

namespace rhea::audio {

class Library {
 public:
  // It stays loaded.
  explicit Library(const char* name) : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}
  explicit operator bool() const { return handle_ != nullptr; }
  // `function` is declared as in the library's header.
  template <class T>
  bool load(const char* name, T*& function) const {
    function = reinterpret_cast<T*>(::dlsym(handle_, name));  // SAFETY: T is the header's declaration
    return function != nullptr;
  }

 private:
  void* handle_;
};

}  // namespace rhea::audio
