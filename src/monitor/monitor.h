// The monitors of a machine: sessions for people (HMP) and programs (QMP) on character back ends, the
// commands that they run, and the events that programs hear of.
//
// Commands run on the main thread between turns of the event loop, one a turn and session, without the
// machine lock until they take it: so they may stop the vCPUs, and a client that floods holds up neither the
// loop nor the other clients. What takes the host's disk a while goes on in the background; only the client
// that asked waits for it. Everything else is called with the machine lock.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/worker_pool.h"
#include "machine/run_state.h"
#include "monitor/command.h"
#include "monitor/hmp_arguments.h"

namespace rhea::monitor {

class Session;

class Monitor final : private machine::RunListener {
 public:
  explicit Monitor(Context& context);
  ~Monitor() override;
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  Context& context() { return context_; }
  // The back end outlives the monitor.
  void add_hmp(chardev::Chardev& line);
  void add_qmp(chardev::Chardev& line, bool pretty);

  // Tells all programs. `data` may be null: none.
  void emit(std::string_view event, Json data = nullptr);

  // Main thread, without the machine lock: a line as people type it, and what they are told. The answers may
  // come later, machine lock held or not; never after the monitor has gone.
  void run_line(std::string_view line, unsigned& cpu, std::function<void(std::string text)> told);
  void run(const Command& command, const Json& arguments, unsigned& cpu, bool hmp, Answer answer);
  // Runs `work` on a thread of its own and then `then` in the event loop, machine lock held.
  void in_background(std::function<void()> work, std::function<void()> then);
  std::vector<std::string> complete(std::string_view text);

  Format& last_format() { return last_format_; }

 private:
  void state_changed(machine::RunState from, machine::RunState to) override;
  void was_reset(machine::Cause cause) override;
  void shutting_down(machine::Cause cause) override;
  void power_button() override;
  Result<Json> run_unsettled(const Command& command, Call& call);
  void run_parsed(const Command& command, std::string_view name, std::string_view rest, unsigned& cpu,
                  std::function<void(std::string text)> told);

  Context& context_;
  Format last_format_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  async::WorkerPool workers_{4};  // last: its threads end before the rest goes
};

// {"class": …, "desc": …}
Json error_object(const Error& error);

}  // namespace rhea::monitor
