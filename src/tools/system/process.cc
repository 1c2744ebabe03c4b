#include "tools/system/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"

namespace rhea::system {

namespace {

// In the process that the user started: what the other one says, or that it says nothing.
[[noreturn]] void wait_for_child(int fd) {
  char status = 1;
  ssize_t n;
  do {
    n = ::read(fd, &status, 1);
  } while (n < 0 && errno == EINTR);
  ::_exit(n == 1 ? status : 1);
}

}  // namespace

Background::~Background() {
  if (pipe_ >= 0) ::close(pipe_);  // the one that waits reads the end: status 1
}

Result<> Background::enter() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "-daemonize");
  pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "-daemonize");
  if (child > 0) {
    ::close(ends[1]);
    wait_for_child(ends[0]);
  }
  ::close(ends[0]);
  pipe_ = ends[1];
  ::setsid();
  // Once more: a leader of a session could come to a terminal again.
  child = ::fork();
  if (child < 0) return fail_errno(errno, "-daemonize");
  if (child > 0) ::_exit(0);
  ::umask(027);
  return {};
}

Result<> Background::ready() {
  if (pipe_ < 0) return {};
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return fail_errno(errno, "/dev/null");
  if (::chdir("/") != 0) return fail_errno(errno, "/");
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  ::close(null);
  char good = 0;
  static_cast<void>(!::write(pipe_, &good, 1));
  ::close(pipe_);
  pipe_ = -1;
  return {};
}

Result<> PidFile::create(const std::string& path) {
  auto failed = [&path](const char* what) {
    return failf(ErrorKind::Io, "cannot create PID file: {} {}: {}", what, path, errno_text(errno));
  };
  int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return failed("Cannot open");
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  std::string text = fmt::format("{}\n", ::getpid());
  bool locked = ::fcntl(fd, F_SETLK, &lock) == 0;
  bool written = locked && ::ftruncate(fd, 0) == 0 &&
                 ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!written) {
    auto error = failed(locked ? "Cannot write to" : "Cannot lock");
    ::close(fd);
    return error;
  }
  fd_ = fd;
  char* whole = ::realpath(path.c_str(), nullptr);  // -daemonize changes the working folder
  path_ = whole != nullptr ? whole : path;
  ::free(whole);
  return {};
}

PidFile::~PidFile() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace rhea::system
