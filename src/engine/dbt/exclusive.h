// Stop-the-world among the vCPUs that share a code cache: turning a page into a code page, resetting the
// cache and locked accesses across pages need every other vCPU at a safepoint (outside translated code, with
// nothing half done).
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

namespace rhea::dbt {

struct Context;

class Exclusive {
 public:
  void enter(Context& c);      // a vCPU begins to run translated code; waits while somebody is exclusive
  void leave(Context& c);      // and stops
  void safepoint(Context& c);  // lets a waiting exclusive section go first

  // Between begin and end no other vCPU runs. The caller counts as stopped while it waits.
  void begin(Context& c);
  void end(Context& c);
  const std::vector<Context*>& all() const { return all_; }
  void add(Context& c);
  void remove(Context& c);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Context*> all_;
  unsigned running_ = 0;
  bool busy_ = false;
};

}  // namespace rhea::dbt
