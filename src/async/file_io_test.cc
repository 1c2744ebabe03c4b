#include "async/file_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <numeric>
#include <string>

#include "async/run.h"

namespace rhea::async {
namespace {

class FileIoTest : public testing::TestWithParam<FileIo::Backend> {
 protected:
  void SetUp() override {
    auto io = FileIo::create(loop_, GetParam());
    if (!io) GTEST_SKIP() << io.error().message();
    io_ = *std::move(io);
    std::string name = testing::TempDir() + "rhea_file_io_XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    ASSERT_GE(fd_, 0);
    ::unlink(name.c_str());
  }
  void TearDown() override {
    if (fd_ >= 0) ::close(fd_);
  }

  std::recursive_mutex lock_;
  EventLoop loop_{lock_};
  std::unique_ptr<FileIo> io_;
  int fd_ = -1;
};

TEST_P(FileIoTest, what_is_written_is_read_back) {
  const std::string text = "0123456789";
  const std::vector<uint8_t> bytes(text.begin(), text.end());
  ASSERT_TRUE(run(loop_, io_->write(fd_, 100, std::span(bytes))));
  ASSERT_TRUE(run(loop_, io_->sync(fd_)));
  std::vector<uint8_t> back(bytes.size());
  EXPECT_EQ(run(loop_, io_->read(fd_, 100, std::span(back))), bytes.size());
  EXPECT_EQ(back, bytes);
}

TEST_P(FileIoTest, read_past_the_end_is_short) {
  ASSERT_EQ(::ftruncate(fd_, 5), 0);
  std::vector<uint8_t> back(10, 0xff);
  EXPECT_EQ(run(loop_, io_->read(fd_, 2, std::span(back))), 3u);
  EXPECT_EQ(run(loop_, io_->read(fd_, 5, std::span(back))), 0u);
  EXPECT_EQ(run(loop_, io_->read(fd_, 0, std::span(back).first(0))), 0u);
}

TEST_P(FileIoTest, errors_of_the_host_arrive) {
  std::vector<uint8_t> buffer(10);
  EXPECT_FALSE(run(loop_, io_->read(-1, 0, std::span(buffer))));
  const auto far = run(loop_, io_->write(fd_, UINT64_MAX - 4, std::span<const uint8_t>(buffer)));
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().kind(), ErrorKind::OutOfRange);
  EXPECT_FALSE(run(loop_, io_->sync(-1)));
}

Task<Result<void>> scatter_and_check(FileIo& io, int fd, size_t pieces) {
  std::vector<uint8_t> data(pieces * 3);
  std::iota(data.begin(), data.end(), uint8_t{0});
  std::vector<iovec> from;
  for (size_t i = 0; i < pieces; ++i) from.push_back(iovec{data.data() + i * 3, 3});
  const Result<void> wrote = co_await io.write(fd, 0, std::move(from));
  if (!wrote) co_return wrote;
  std::vector<uint8_t> back(data.size());
  const Result<size_t> got = co_await io.read(fd, 0, std::span(back));
  if (!got) co_return std::unexpected(got.error());
  if (back != data) co_return fail(ErrorKind::Io, "data differs");
  co_return Result<void>();
}

TEST_P(FileIoTest, more_buffers_than_one_system_call_takes) {
  const auto result = run(loop_, scatter_and_check(*io_, fd_, 5000));
  EXPECT_TRUE(result) << result.error().message();
}

TEST_P(FileIoTest, many_operations_in_flight_at_once_all_end) {
  constexpr size_t kOperations = 1000;
  std::vector<uint8_t> bytes(kOperations);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  size_t ended = 0;
  for (size_t i = 0; i < kOperations; ++i) {
    const std::span<const uint8_t> one(&bytes[i], 1);
    start(io_->write(fd_, i, one), [&ended](const Result<void>& done) { ended += done ? 1 : 0; });
  }
  while (ended < kOperations) loop_.run_once(-1);
  std::vector<uint8_t> back(kOperations);
  EXPECT_EQ(run(loop_, io_->read(fd_, 0, std::span(back))), kOperations);
  EXPECT_EQ(back, bytes);
}

INSTANTIATE_TEST_SUITE_P(Backends, FileIoTest,
                         testing::Values(FileIo::Backend::Uring, FileIo::Backend::Threads),
                         [](const auto& instance) {
                           return instance.param == FileIo::Backend::Uring ? "uring" : "threads";
                         });

}  // namespace
}  // namespace rhea::async
