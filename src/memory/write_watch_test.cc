#include "memory/write_watch.h"

#include <gtest/gtest.h>

#include <thread>

namespace rhea::memory {
namespace {

struct Watched : ::testing::Test {
  void run() {
    while (loop.run_once(0)) {
    }
  }
  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  std::unique_ptr<RamBlock> block = *RamBlock::create("watched", 0x10000);
  int reports = 0;
  std::unique_ptr<WriteWatch> watch = WriteWatch::create(loop, *block, [this] { ++reports; });
};

TEST_F(Watched, the_first_write_is_reported_once_and_takes_effect) {
  ASSERT_NE(watch, nullptr);
  volatile uint8_t* at = block->host();
  at[0] = 1;
  run();
  EXPECT_EQ(reports, 0);
  ASSERT_TRUE(watch->arm());
  run();
  EXPECT_EQ(reports, 0);
  EXPECT_EQ(at[0], 1);  // reading is no write
  at[0x8000] = 2;
  at[0x9000] = 3;
  run();
  EXPECT_EQ(reports, 1);
  EXPECT_EQ(at[0x8000] + at[0x9000], 5);
  EXPECT_FALSE(watch->armed());
}

TEST_F(Watched, writes_of_other_threads_are_seen_and_arming_again_works) {
  ASSERT_NE(watch, nullptr);
  for (int round = 1; round <= 20; ++round) {
    ASSERT_TRUE(watch->arm());
    std::thread writer([this, round] {
      volatile uint8_t* at = block->host();
      at[round] = static_cast<uint8_t>(round);
    });
    writer.join();
    run();
    EXPECT_EQ(reports, round);
  }
}

TEST_F(Watched, a_disarmed_watch_reports_nothing) {
  ASSERT_NE(watch, nullptr);
  ASSERT_TRUE(watch->arm());
  watch->disarm();
  volatile uint8_t* at = block->host();
  at[5] = 5;
  run();
  EXPECT_EQ(reports, 0);
  ASSERT_TRUE(watch->arm());
  watch.reset();
  at[6] = 6;
  EXPECT_EQ(at[6], 6);
}

}  // namespace
}  // namespace rhea::memory
