#include "async/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "async/run.h"
#include "async/worker_pool.h"
#include "base/result.h"

namespace rhea::async {
namespace {

// A place to wait at until the test says go.
struct Gate {
  std::coroutine_handle<> waiter;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  void await_resume() const noexcept {}
};

Task<int> value(int number) {
  co_return number;
}

Task<int> count_to(int last) {
  int sum = 0;
  for (int i = 1; i <= last; ++i) sum += co_await value(1);
  co_return sum;
}

TEST(Task, nothing_runs_before_it_is_awaited) {
  bool ran = false;
  const auto body = [](bool& flag) -> Task<> {
    flag = true;
    co_return;
  };
  {
    const Task<> task = body(ran);
    EXPECT_FALSE(ran);
  }
  EXPECT_FALSE(ran);
}

TEST(Task, value_arrives_at_once_when_nothing_waits) {
  int result = 0;
  start(value(7), [&](int got) { result = got; });
  EXPECT_EQ(result, 7);
}

TEST(Task, long_loop_of_children_that_never_wait_keeps_the_stack_flat) {
  int result = 0;
  start(count_to(200'000), [&](int got) { result = got; });
  EXPECT_EQ(result, 200'000);
}

Task<std::string> wait_twice(Gate& gate, std::shared_ptr<int> kept) {
  std::string out = "a";
  co_await gate;
  out += std::to_string(co_await value(*kept));
  co_await gate;
  co_return out + "z";
}

Task<std::string> outer(Gate& gate, std::shared_ptr<int> kept) {
  std::string inner = co_await wait_twice(gate, std::move(kept));
  co_return "[" + inner + "]";
}

TEST(Task, parent_goes_on_when_its_child_has_been_resumed_to_the_end) {
  Gate gate;
  std::string result;
  auto kept = std::make_shared<int>(5);
  const std::weak_ptr<int> watched = kept;
  start(outer(gate, std::move(kept)), [&](std::string got) { result = std::move(got); });
  EXPECT_EQ(result, "");
  gate.waiter.resume();
  EXPECT_EQ(result, "");
  gate.waiter.resume();
  EXPECT_EQ(result, "[a5z]");
  EXPECT_TRUE(watched.expired());
}

Task<Result<int>> refuses() {
  co_return fail(ErrorKind::Busy, "busy");
}

Task<Result<int>> passes_on() {
  const Result<int> got = co_await refuses();
  if (!got) co_return std::unexpected(got.error());
  co_return *got + 1;
}

TEST(Task, errors_are_values) {
  std::string message;
  start(passes_on(), [&](const Result<int>& got) { message = got ? "" : got.error().message(); });
  EXPECT_EQ(message, "busy");
}

TEST(WorkerPool, work_is_done_elsewhere_and_the_waiter_goes_on_in_the_loop) {
  std::recursive_mutex lock;
  EventLoop loop(lock);
  WorkerPool pool(2);
  const auto main_thread = std::this_thread::get_id();
  const auto body = [](WorkerPool& workers, EventLoop& l, std::thread::id main) -> Task<int> {
    auto work = [main] { return std::this_thread::get_id() == main ? -1 : 20; };
    const int first = co_await workers.run(l, work);
    EXPECT_EQ(std::this_thread::get_id(), main);
    int seen = 0;
    auto silent = [&seen] { seen = 1; };
    co_await workers.run(l, silent);
    co_return first + seen;
  };
  EXPECT_EQ(run(loop, body(pool, loop, main_thread)), 21);
}

TEST(WorkerPool, everything_submitted_is_done_before_it_ends) {
  std::atomic<int> done{0};
  {
    WorkerPool pool(3);
    for (int i = 0; i < 1000; ++i) pool.submit([&done] { ++done; });
  }
  EXPECT_EQ(done, 1000);
}

}  // namespace
}  // namespace rhea::async
