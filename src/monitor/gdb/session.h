// One debugger's session: GDB's Remote Serial Protocol, "Debugging with GDB", appendix E.
//
// All-stop mode, one thread a vCPU (numbered from 1). Missing: non-stop, extended-remote, file and memory-map
// transfers. Main thread, machine lock held.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/gdb/packet.h"
#include "monitor/gdb/target.h"

namespace rhea::gdb {

class Session {
 public:
  using Send = std::function<void(std::string_view bytes)>;
  // The machine has been asked to stop; packets wait until machine_stopped() or interrupted() says so.
  Session(Target& target, Send send);

  void receive(std::span<const uint8_t> bytes);
  // All vCPUs stand still because of this one.
  void machine_stopped(unsigned cpu, cpu::DebugHit hit);
  void interrupted();
  void exited(int status);
  bool done() const { return done_; }  // detached or killed: the connection is to be closed

 private:
  void serve_waiting();
  void handle(std::string_view packet);
  std::string answer(std::string_view packet);
  std::string query(std::string_view packet);
  std::string command(std::string_view text);
  std::string set(std::string_view packet);
  std::string features(std::string_view text) const;
  std::string thread_list() const;
  std::string select_thread(std::string_view text);
  std::string read_all_registers();
  std::string write_all_registers(std::string_view text);
  std::string read_one_register(std::string_view text);
  std::string write_one_register(std::string_view text);
  std::string read_memory(std::string_view text);
  std::string write_memory(std::string_view text, bool binary);
  std::string change_point(std::string_view text, bool insert);
  std::string verbose(std::string_view packet);
  std::string continue_with(std::string_view text);
  std::string resume_from(std::string_view text, Action action, bool with_signal);
  std::string stop_reply(unsigned cpu, unsigned signal, cpu::DebugHit hit) const;
  void resume(const std::vector<Action>& actions);
  void reply(std::string_view payload);
  bool parse_thread(std::string_view text, int64_t& thread) const;

  Target& target_;
  Send send_;
  PacketReader reader_;
  std::vector<std::string> waiting_;  // packets that came while the machine ran
  std::string last_sent_;
  bool running_ = true;
  bool report_stop_ = false;  // the debugger waits for a stop reply
  bool acks_ = true;
  bool physical_ = false;  // addresses are physical (QEMU's extension)
  bool done_ = false;
  unsigned current_ = 0;          // vCPU of registers and memory
  int64_t continue_thread_ = -1;  // of c and s: vCPU number, or -1 all
  std::string stop_ = "S05";      // the answer to '?'
  std::vector<Point> points_;
};

}  // namespace rhea::gdb
