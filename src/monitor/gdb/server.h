// Waits for a debugger on a socket (-gdb, -s) and connects its session to the machine; one debugger at a
// time. The machine stops when one connects and goes on when it leaves. Main thread, machine lock held.
#pragma once

#include <memory>

#include "chardev/chardev.h"
#include "machine/vm.h"
#include "monitor/gdb/session.h"
#include "monitor/gdb/vm_target.h"

namespace rhea::gdb {

class Server final : public machine::Debugger {
 public:
  // words: "tcp::PORT", "tcp:HOST:PORT", "unix:PATH". Errors: Invalid, or the socket's.
  static Result<std::unique_ptr<Server>> create(machine::Vm& vm, const engine::Accelerator& accelerator,
                                                std::string_view words);
  ~Server() override;

  void stopped(unsigned vcpu, cpu::DebugHit hit) override;
  void interrupted() override;
  void exiting(int status) override;

 private:
  class Client;

  Server(machine::Vm& vm, const engine::Accelerator& accelerator);
  void accept_client();
  void client_left();

  machine::Vm& vm_;
  VmTarget target_;
  int listener_ = -1;
  std::string unix_path_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  std::unique_ptr<Client> client_;
  bool abandoned_ = false;  // a client left without a word: the machine is to go on once it stands still
};

}  // namespace rhea::gdb
