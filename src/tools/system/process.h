// The process itself: into the background (-daemonize), and a file with its number (-pidfile).
#pragma once

#include <string>

#include "base/result.h"

namespace rhea::system {

// -daemonize: the process that the user started waits until the one that goes on has set everything up, and
// ends with its status. Before any thread is started.
class Background {
 public:
  ~Background();
  Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  Result<> enter();
  // Everything is set up: lets go of the terminal and of the one that waits. Nothing if enter() was not
  // called.
  Result<> ready();

 private:
  int pipe_ = -1;
};

// The file is locked as long as this lives, and removed at the end.
class PidFile {
 public:
  ~PidFile();
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  Result<> create(const std::string& path);

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace rhea::system
