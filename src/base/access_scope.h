// What a thread owes when it leaves its outermost access to a device: work that a device has asked for but
// that must not run inside of the device's own code. Threads say that they do such work (vCPUs do); for
// others nothing is put off.
#pragma once

#include <utility>

namespace rhea {

class AccessScope {
 public:
  class Owed {
   public:
    virtual ~Owed() = default;
    // The thread is in no access and holds no lock.
    virtual void access_left() = 0;
  };

  AccessScope() { ++thread_.depth; }
  ~AccessScope() {
    if (--thread_.depth == 0 && thread_.owed != nullptr) std::exchange(thread_.owed, nullptr)->access_left();
  }
  AccessScope(const AccessScope&) = delete;
  AccessScope& operator=(const AccessScope&) = delete;

  // This thread takes on such work, or not.
  static void take_on(bool willing) { thread_.willing = willing; }
  // True: `owed`, which outlives that, is called when the access ends that this thread is in.
  static bool owe(Owed& owed) {
    if (!thread_.willing || thread_.depth == 0) return false;
    if (thread_.owed != nullptr && thread_.owed != &owed) return false;
    thread_.owed = &owed;
    return true;
  }

 private:
  struct Thread {
    unsigned depth;
    bool willing;
    Owed* owed;
  };
  static inline thread_local constinit Thread thread_{0, false, nullptr};
};

}  // namespace rhea
