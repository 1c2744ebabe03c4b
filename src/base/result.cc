#include "base/result.h"

#include <cerrno>
#include <cstring>

#include "base/failf.h"

namespace rhea {

std::string Error::message() const {
  std::string out;
  for (auto it = context_.rbegin(); it != context_.rend(); ++it) out += *it + ": ";
  return out + text_;
}

Error Error::in(std::string_view context) && {
  context_.emplace_back(context);
  return std::move(*this);
}

static ErrorKind kind_of(int error_number) {
  switch (error_number) {
    case ENOENT: return ErrorKind::NotFound;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorKind::Permission;
    case ENOSPC:
    case EDQUOT: return ErrorKind::NoSpace;
    case EBUSY:
    case EAGAIN: return ErrorKind::Busy;
    case EINVAL: return ErrorKind::Invalid;
    case ENOTSUP:
    case ENOSYS: return ErrorKind::Unsupported;
    default: return ErrorKind::Io;
  }
}

std::unexpected<Error> fail_errno(int error_number, std::string_view context) {
  return std::unexpected<Error>(Error(kind_of(error_number), errno_text(error_number)).in(context));
}

std::string errno_text(int error_number) {
  char buffer[128];
  return ::strerror_r(error_number, buffer, sizeof buffer);  // the GNU form: thread safe, returns the text
}

}  // namespace rhea
