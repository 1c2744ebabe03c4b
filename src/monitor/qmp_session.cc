#include "monitor/qmp_session.h"

#include "base/failf.h"

namespace rhea::monitor {

QmpSession::QmpSession(Monitor& monitor, chardev::Chardev& line, bool pretty)
    : Session(monitor, line), pretty_(pretty) {
  attach();
}

void QmpSession::send_json(const Json& value) {
  send(write_json(value, pretty_) + "\r\n");
}

void QmpSession::connected() {
  has_peer_ = true;
  negotiated_ = false;
  unsigned cpu = 0;
  const Command* version = find_qmp("query-version");
  Call call{monitor_.context(), monitor_, Json(), cpu, false};
  send_json({{"QMP", {{"version", version->run(call).value()}, {"capabilities", Json::array()}}}});
}

void QmpSession::disconnected() {
  Session::disconnected();
  stream_.restart();
  has_peer_ = negotiated_ = false;
}

void QmpSession::event(const Json& event) {
  // One that does not read what it is told misses events, but never an answer.
  if (has_peer_ && negotiated_ && !lags()) send_json(event);
}

size_t QmpSession::handle(std::string_view input) {
  std::optional<Result<Json>> value;
  size_t used = stream_.take(input, value);
  if (!value) return used;
  if (*value) {
    message(**value);
  } else {
    reply(failf(ErrorKind::Invalid, "JSON parse error, {}", value->error().text()), nullptr);
  }
  return used;
}

void QmpSession::reply(const Result<Json>& result, const Json* id) {
  if (!has_peer_) return;
  Json answer;
  if (result) {
    answer["return"] = result->is_null() ? Json::object() : *result;
  } else {
    answer["error"] = error_object(result.error());
  }
  if (id != nullptr) answer["id"] = *id;
  send_json(answer);
}

Result<> QmpSession::check(const Json& message) const {
  if (!message.is_object()) return fail(ErrorKind::Invalid, "QMP input must be a JSON object");
  bool named = false;
  for (const auto& [key, value] : message.items()) {
    if (key == "execute") {
      if (!value.is_string()) return fail(ErrorKind::Invalid, "QMP input member 'execute' must be a string");
      named = true;
    } else if (key == "arguments") {
      if (!value.is_object())
        return fail(ErrorKind::Invalid, "QMP input member 'arguments' must be an object");
    } else if (key != "id") {
      // "exec-oob" too: the capability is not offered.
      return failf(ErrorKind::Invalid, "QMP input member '{}' is unexpected", key);
    }
  }
  if (!named) return fail(ErrorKind::Invalid, "QMP input lacks member 'execute'");
  return {};
}

void QmpSession::message(const Json& message) {
  if (auto checked = check(message); !checked) {
    bool has_id = message.is_object() && message.contains("id");
    return reply(std::unexpected(checked.error()), has_id ? &message["id"] : nullptr);
  }
  begin_work([this, message] { execute(message); });
}

void QmpSession::execute(const Json& message) {
  const Json arguments = message.contains("arguments") ? message["arguments"] : Json::object();
  std::optional<Json> id;
  if (message.contains("id")) id = message["id"];
  const auto answer = [this, id](const Result<Json>& result) {
    std::scoped_lock hold(monitor_.context().vm.lock());
    reply(result, id ? &*id : nullptr);
    end_work();
  };
  const std::string name = message["execute"].get<std::string>();
  if (name == "qmp_capabilities" && !negotiated_) return answer(negotiate(arguments));
  const auto command = find(name, arguments);
  if (!command) return answer(std::unexpected(command.error()));
  monitor_.run(**command, arguments, cpu_, false, answer);
}

// ErrorKind::Unsupported stands for the class CommandNotFound.
Result<const Command*> QmpSession::find(const std::string& name, const Json& arguments) const {
  if (name == "qmp_capabilities") {
    return fail(ErrorKind::Unsupported, "Capabilities negotiation is already complete, command ignored");
  }
  if (!negotiated_)
    return fail(ErrorKind::Unsupported, "Expecting capabilities negotiation with 'qmp_capabilities'");
  const Command* command = find_qmp(name);
  if (command == nullptr) return failf(ErrorKind::Unsupported, "The command {} has not been found", name);
  TRY(check_arguments(*command, arguments));
  return command;
}

Result<Json> QmpSession::negotiate(const Json& arguments) {
  for (const auto& [key, value] : arguments.items()) {
    if (key != "enable") return failf(ErrorKind::Invalid, "Parameter '{}' is unexpected", key);
    if (!value.is_array())
      return fail(ErrorKind::Invalid, "Invalid parameter type for 'enable', expected: array");
    for (const Json& capability : value) {
      if (!capability.is_string())
        return fail(ErrorKind::Invalid, "Invalid parameter type for 'enable', expected: string");
      return failf(ErrorKind::Invalid, "Capability {} not available", capability.get<std::string>());
    }
  }
  negotiated_ = true;
  return Json::object();
}

}  // namespace rhea::monitor
