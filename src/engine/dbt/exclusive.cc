#include "engine/dbt/exclusive.h"

#include <algorithm>

#include "engine/dbt/context.h"

namespace rhea::dbt {

void Exclusive::add(Context& c) {
  std::lock_guard hold(mutex_);
  all_.push_back(&c);
}

void Exclusive::remove(Context& c) {
  std::lock_guard hold(mutex_);
  std::erase(all_, &c);
}

void Exclusive::enter(Context&) {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [&] { return !busy_; });
  ++running_;
}

void Exclusive::leave(Context&) {
  std::lock_guard hold(mutex_);
  --running_;
  changed_.notify_all();
}

void Exclusive::safepoint(Context&) {
  std::unique_lock hold(mutex_);
  if (!busy_) return;
  --running_;
  changed_.notify_all();
  changed_.wait(hold, [&] { return !busy_; });
  ++running_;
}

void Exclusive::begin(Context& c) {
  std::unique_lock hold(mutex_);
  --running_;
  changed_.notify_all();
  changed_.wait(hold, [&] { return !busy_; });
  busy_ = true;
  for (Context* other : all_) {
    if (other != &c) other->core.pending.fetch_or(cpu::pending::kEngine);
  }
  changed_.wait(hold, [&] { return running_ == 0; });
  ++running_;
}

void Exclusive::end(Context&) {
  std::lock_guard hold(mutex_);
  busy_ = false;
  changed_.notify_all();
}

}  // namespace rhea::dbt
