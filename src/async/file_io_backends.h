// The two ways in which FileIo gets its work done.
#pragma once

#include <memory>

#include "async/file_io.h"

namespace rhea::async {

Result<std::unique_ptr<FileIo>> make_uring_io(EventLoop& loop);
std::unique_ptr<FileIo> make_thread_io(EventLoop& loop);

}  // namespace rhea::async
