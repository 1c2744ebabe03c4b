// How a file's reads and writes reach the kernel (aio=): pread(2) and pwrite(2), Linux's native asynchronous
// I/O, or io_uring. Each request is submitted and waited for by the thread that makes it, so that the number
// of threads is the queue depth with all three. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace rhea::block {

enum class FileEngine { Threads, Native, IoUring };

// "threads", "native", "io_uring"; null: no such engine.
std::optional<FileEngine> parse_file_engine(std::string_view word);
// Whether the kernel offers it to this process.
Result<> probe_file_engine(FileEngine engine);

// As pread(2) and pwrite(2): bytes, or -1 and errno.
ssize_t engine_read(FileEngine engine, int fd, std::span<uint8_t> into, uint64_t offset);
ssize_t engine_write(FileEngine engine, int fd, std::span<const uint8_t> from, uint64_t offset);

}  // namespace rhea::block
