// The table of commands, one for people (HMP) and programs (QMP) alike: a row says what it is called in each,
// what it takes, what it does, and how people are shown its result.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/context.h"
#include "monitor/json.h"

namespace rhea::monitor {

class Monitor;

enum class Kind : uint8_t {
  String,    // HMP: a word, or in quotes
  Filename,  // the same, with another message when it is missing
  Block,     // the same: a drive
  Rest,      // HMP: the rest of the line
  Integer,   // HMP: an expression
  Size,      // HMP: "10G", or a number of MiB; QMP: an integer
  Number,    // QMP: any number
  Boolean,   // HMP: on or off
  Flag,      // HMP: -X; QMP: a boolean
  Format,    // HMP only: /FMT
  Object,    // QMP only
  Array,     // QMP only
  Any,       // QMP only
};

enum class Only : uint8_t { Both, Hmp, Qmp };

struct Parameter {
  std::string_view name;
  Kind kind;
  bool optional = false;
  char flag = 0;  // Kind::Flag
  Only only = Only::Both;
};

// A command under way.
struct Call {
  Context& vm;
  Monitor& monitor;
  const Json& arguments;  // checked: the names of the row, of the right types
  unsigned& cpu;          // the session's
  bool hmp;

  bool has(std::string_view name) const { return arguments.contains(std::string(name)); }
  std::string text(std::string_view name) const;  // "" if not given
  int64_t number(std::string_view name, int64_t otherwise = 0) const;
  bool flag(std::string_view name, bool otherwise = false) const;
};

// What holds while run() is called, always on the main thread.
enum class Access : uint8_t {
  Locked,  // the machine lock
  Still,   // and all vCPUs stand still with their states pulled
  Free,    // nothing: may block, may stop the machine
};

// Called once, from any thread but a vCPU's, machine lock held or not.
using Answer = std::function<void(Result<Json> result)>;

struct Command {
  const char* qmp;        // null: not in QMP
  const char* hmp;        // "stop|s", "info status"; null: not for people
  const char* arguments;  // as `help` shows
  const char* help;
  std::vector<Parameter> parameters;
  // People see a result that is a string as it is; others by show(), or nothing.
  Result<Json> (*run)(Call& call);
  std::string (*show)(const Json& result) = nullptr;
  Access access = Access::Locked;
  // In run's place, for what takes the host a while: begins it, on the main thread without the machine lock,
  // and has it answered later. Nothing of `call` but the monitor may be kept.
  void (*start)(Call& call, Answer answer) = nullptr;
};

// All rows, in no order.
const std::vector<const Command*>& all_commands();
const Command* find_qmp(std::string_view name);
// `name` is one word; topics of info have "info " before them.
const Command* find_hmp(std::string_view name);
// "stop|s" as its names.
std::vector<std::string_view> names_of(const Command& command);

// Families, each in its file of commands/.
std::span<const Command> run_commands();
std::span<const Command> info_commands();
std::span<const Command> cpu_commands();
std::span<const Command> memory_commands();
std::span<const Command> pci_commands();
std::span<const Command> device_commands();
std::span<const Command> input_commands();
std::span<const Command> vnc_commands();
std::span<const Command> block_commands();
std::span<const Command> chardev_commands();
std::span<const Command> network_commands();
std::span<const Command> meta_commands();
std::span<const Command> introspection_commands();
std::span<const Command> object_commands();
std::span<const Command> migration_commands();
std::span<const Command> balloon_commands();

// Errors in QEMU's words. The class of DeviceNotFound belongs to it in QMP.
std::unexpected<Error> device_not_found(std::string_view id);

// What QMP is given: each name is known, there and of its type. Errors: Invalid.
Result<> check_arguments(const Command& command, const Json& arguments);

}  // namespace rhea::monitor
