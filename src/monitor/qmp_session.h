// The monitor that programs speak to. QEMU's docs/interop/qmp-spec.txt. Missing: out-of-band execution.
#pragma once

#include "monitor/session.h"

namespace rhea::monitor {

class QmpSession final : public Session {
 public:
  QmpSession(Monitor& monitor, chardev::Chardev& line, bool pretty);
  void connected() override;
  void disconnected() override;
  void event(const Json& event) override;

 private:
  size_t handle(std::string_view input) override;
  void message(const Json& message);
  Result<> check(const Json& message) const;
  void execute(const Json& message);
  Result<const Command*> find(const std::string& name, const Json& arguments) const;
  Result<Json> negotiate(const Json& arguments);
  void reply(const Result<Json>& result, const Json* id);
  void send_json(const Json& value);

  bool pretty_;
  bool negotiated_ = false;
  bool has_peer_ = false;
  JsonStream stream_;
};

}  // namespace rhea::monitor
