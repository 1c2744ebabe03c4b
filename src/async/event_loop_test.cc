#include "async/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>

namespace rhea::async {
namespace {

class Loop : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0); }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  void put(const char* text) {
    ASSERT_EQ(::write(pipe_[1], text, strlen(text)), static_cast<ssize_t>(strlen(text)));
  }
  std::string take() {
    char buffer[64];
    const ssize_t size = ::read(pipe_[0], buffer, sizeof buffer);
    return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : std::string();
  }

  std::recursive_mutex lock_;
  EventLoop loop_{lock_};
  int pipe_[2] = {-1, -1};
};

TEST_F(Loop, readable_descriptor_calls_its_handler_until_the_watch_ends) {
  std::string got;
  auto watch = loop_.watch(pipe_[0], EPOLLIN, [&](uint32_t) { got += take(); });
  ASSERT_TRUE(watch);
  EXPECT_FALSE(loop_.run_once(0));
  put("a");
  EXPECT_TRUE(loop_.run_once(-1));
  (*watch)->set_events(0);
  put("b");
  EXPECT_FALSE(loop_.run_once(0));
  (*watch)->set_events(EPOLLIN);
  EXPECT_TRUE(loop_.run_once(0));
  EXPECT_EQ(got, "ab");
  watch->reset();
  put("c");
  EXPECT_FALSE(loop_.run_once(0));
}

TEST_F(Loop, handler_may_end_its_own_watch) {
  std::unique_ptr<EventLoop::Watch> watch;
  int calls = 0;
  watch = *loop_.watch(pipe_[0], EPOLLIN, [&](uint32_t) {
    ++calls;
    watch.reset();
  });
  put("a");
  loop_.run_once(0);
  loop_.run_once(0);
  EXPECT_EQ(calls, 1);
}

TEST_F(Loop, regular_file_is_always_ready) {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  int calls = 0;
  auto watch = loop_.watch(fd, EPOLLIN, [&](uint32_t events) { calls += events == EPOLLIN ? 1 : 0; });
  ASSERT_TRUE(watch);
  loop_.run_once(-1);
  (*watch)->set_events(0);
  loop_.run_once(0);
  EXPECT_EQ(calls, 1);
  watch->reset();
  ::close(fd);
}

TEST_F(Loop, bad_descriptor_is_an_error) {
  EXPECT_FALSE(loop_.watch(-1, EPOLLIN, [](uint32_t) {}));
}

TEST_F(Loop, work_posted_by_another_thread_runs_in_order_with_the_machine_lock) {
  std::string order;
  std::thread other([&] {
    for (char c = 'a'; c <= 'e'; ++c) {
      loop_.post([&order, c, this] {
        order += c;
        std::thread([this] { EXPECT_FALSE(lock_.try_lock()); }).join();
      });
    }
    loop_.post([this] { loop_.stop(); });
  });
  loop_.run();
  other.join();
  EXPECT_EQ(order, "abcde");
}

TEST_F(Loop, stop_from_another_thread_ends_run) {
  std::thread other([this] { loop_.stop(); });
  loop_.run();
  other.join();
}

TEST_F(Loop, timers_fire_by_deadline_and_those_that_are_cancelled_do_not) {
  Clock& clock = loop_.monotonic_clock();
  std::string order;
  auto late = clock.make_timer([&] { order += "l"; });
  auto early = clock.make_timer([&] { order += "e"; });
  auto never = clock.make_timer([&] { order += "n"; });
  const int64_t now = clock.now_ns();
  late->arm(now - 1);
  early->arm(now - 2);
  never->arm(now - 3);
  never->cancel();
  EXPECT_TRUE(loop_.run_once(-1));
  EXPECT_EQ(order, "el");
  EXPECT_FALSE(early->armed());
}

TEST_F(Loop, timer_armed_by_another_thread_ends_a_long_wait) {
  auto timer = loop_.monotonic_clock().make_timer([&] { loop_.stop(); });
  std::thread other([&] { timer->arm(0); });
  loop_.run();
  other.join();
}

TEST_F(Loop, timer_may_destroy_itself) {
  std::unique_ptr<Timer> timer;
  bool fired = false;
  timer = loop_.monotonic_clock().make_timer([&] {
    timer.reset();
    fired = true;
  });
  timer->arm(0);
  loop_.run_once(-1);
  EXPECT_TRUE(fired);
  EXPECT_EQ(timer, nullptr);
}

TEST_F(Loop, virtual_time_stands_still_until_started_and_after_stop) {
  VirtualClock& clock = loop_.virtual_clock();
  bool fired = false;
  auto timer = clock.make_timer([&] { fired = true; });
  timer->arm(0);
  EXPECT_EQ(clock.now_ns(), 0);
  EXPECT_FALSE(loop_.run_once(0));
  clock.start();
  EXPECT_TRUE(loop_.run_once(-1));
  EXPECT_TRUE(fired);
  clock.stop();
  const int64_t stopped_at = clock.now_ns();
  EXPECT_GT(stopped_at, 0);
  EXPECT_EQ(clock.now_ns(), stopped_at);
  clock.set_ns(5);
  clock.start();
  EXPECT_GE(clock.now_ns(), 5);
  EXPECT_LT(clock.now_ns(), stopped_at + 1'000'000'000);
}

}  // namespace
}  // namespace rhea::async
