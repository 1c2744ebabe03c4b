// How far a long command is: qemu-img's line on stdout with -p; without being asked a bar on stderr if that
// is a terminal. SIGUSR1 gets the line on stderr. Ctrl-C ends the work in an orderly way.
#pragma once

#include <atomic>
#include <cstdint>

namespace rhea::img {

class Progress {
 public:
  Progress(bool asked, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void report(uint64_t done, uint64_t total);
  void finish();  // all done; without it the line just ends

 private:
  void show(double percent);
  bool line_ = false;
  bool bar_ = false;
  bool ended_ = false;
  double shown_ = -1;
};

// From now on SIGINT and SIGTERM set this instead of ending the process.
const std::atomic<bool>& watch_interrupts();
// Ends the process by the signal that came.
[[noreturn]] void die_interrupted();

}  // namespace rhea::img
