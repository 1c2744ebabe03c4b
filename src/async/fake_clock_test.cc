#include "async/fake_clock.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace rhea::async {
namespace {

TEST(FakeClock, advance_fires_in_order_each_at_its_deadline) {
  FakeClock clock;
  std::vector<int64_t> times;
  auto b = clock.make_timer([&] { times.push_back(clock.now_ns()); });
  auto a = clock.make_timer([&] { times.push_back(clock.now_ns()); });
  b->arm(20);
  a->arm(10);
  clock.advance(15);
  EXPECT_EQ(times, (std::vector<int64_t>{10}));
  EXPECT_EQ(clock.now_ns(), 15);
  EXPECT_EQ(clock.next_deadline(), 20);
  clock.advance(5);
  EXPECT_EQ(times, (std::vector<int64_t>{10, 20}));
}

TEST(FakeClock, periodic_timer_rearmed_in_its_callback_fires_every_period) {
  FakeClock clock;
  int ticks = 0;
  std::unique_ptr<Timer> timer;
  timer = clock.make_timer([&] {
    ++ticks;
    timer->arm(clock.now_ns() + 10);
  });
  timer->arm(10);
  clock.advance(100);
  EXPECT_EQ(ticks, 10);
}

TEST(FakeClock, equal_deadlines_fire_in_arming_order) {
  FakeClock clock;
  std::string order;
  auto a = clock.make_timer([&] { order += 'a'; });
  auto b = clock.make_timer([&] { order += 'b'; });
  a->arm(5);
  b->arm(5);
  a->arm(5);
  clock.advance(5);
  EXPECT_EQ(order, "ba");
}

TEST(TimerQueue, random_arming_and_cancelling_keeps_the_order) {
  std::mt19937 random(1);
  std::vector<TimerNode> nodes(200);
  TimerQueue queue;
  for (int step = 0; step < 5000; ++step) {
    TimerNode& node = nodes[random() % nodes.size()];
    if (random() % 3 == 0) {
      queue.cancel(node);
    } else {
      queue.arm(node, static_cast<int64_t>(random() % 1000));
    }
  }
  size_t armed = 0;
  for (const TimerNode& node : nodes) armed += node.armed() ? 1 : 0;
  int64_t last = -1;
  while (const TimerNode* node = queue.pop_due(1000)) {
    EXPECT_GE(node->deadline_ns, last);
    last = node->deadline_ns;
    --armed;
  }
  EXPECT_EQ(armed, 0u);
}

}  // namespace
}  // namespace rhea::async
