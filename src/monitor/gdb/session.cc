#include "monitor/gdb/session.h"

#include <algorithm>
#include <charconv>

#include "monitor/gdb/registers.h"

namespace rhea::gdb {

namespace {

constexpr unsigned kSigInt = 2, kSigTrap = 5;
constexpr std::string_view kError = "E22";     // EINVAL: bad words
constexpr std::string_view kNoMemory = "E14";  // EFAULT
constexpr std::string_view kTooMany = "E28";   // ENOSPC
constexpr size_t kMostPoints = 1024;
constexpr uint64_t kLongestPoint = 4096;

std::string hex_number(uint64_t value) {
  char text[17];
  auto end = std::to_chars(text, text + sizeof text, value, 16).ptr;
  return {text, end};
}

bool prefixed(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

Session::Session(Target& target, Send send) : target_(target), send_(std::move(send)) {}

void Session::reply(std::string_view payload) {
  last_sent_ = frame(payload);
  send_(last_sent_);
}

void Session::receive(std::span<const uint8_t> bytes) {
  for (PacketReader::Event& event : reader_.feed(bytes)) {
    using Kind = PacketReader::Event::Kind;
    switch (event.kind) {
      case Kind::Packet:
        if (acks_) send_("+");
        waiting_.push_back(std::move(event.payload));
        break;
      case Kind::Bad:
        if (acks_) send_("-");
        break;
      case Kind::Interrupt:
        if (running_) target_.interrupt();
        break;
      case Kind::Nak: send_(last_sent_); break;
      case Kind::Ack: break;
    }
  }
  serve_waiting();
}

void Session::serve_waiting() {
  while (!running_ && !done_ && !waiting_.empty()) {
    std::string packet = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    handle(packet);
  }
}

void Session::machine_stopped(unsigned cpu, cpu::DebugHit hit) {
  if (!running_) return;
  running_ = false;
  current_ = cpu;
  stop_ = stop_reply(cpu, kSigTrap, hit);
  if (report_stop_) reply(stop_);
  report_stop_ = false;
  serve_waiting();
}

void Session::interrupted() {
  if (!running_) return;
  running_ = false;
  stop_ = stop_reply(current_, report_stop_ ? kSigInt : kSigTrap, {});
  if (report_stop_) reply(stop_);
  report_stop_ = false;
  serve_waiting();
}

void Session::exited(int status) {
  uint8_t byte = static_cast<uint8_t>(status);
  reply("W" + to_hex({&byte, 1}));
  done_ = true;
}

std::string Session::stop_reply(unsigned cpu, unsigned signal, cpu::DebugHit hit) const {
  auto number = static_cast<uint8_t>(signal);
  std::string out = "T" + to_hex({&number, 1}) + "thread:" + hex_number(cpu + 1) + ";";
  if (hit.kind == cpu::DebugHit::Kind::Watch) {
    std::string_view name = "watch";
    for (const Point& point : points_) {
      if (hit.linear < point.linear || hit.linear - point.linear >= point.length) continue;
      if (point.kind == Point::Kind::Read) name = "rwatch";
      if (point.kind == Point::Kind::Access) name = "awatch";
    }
    out += std::string(name) + ":" + hex_number(hit.linear) + ";";
  }
  return out;
}

// Commands that let the machine run answer later, with the stop.
void Session::handle(std::string_view packet) {
  std::string text = answer(packet);
  if (!running_ && !(done_ && text.empty())) reply(text);
}

std::string Session::answer(std::string_view packet) {
  if (packet.empty()) return "";
  char command = packet.front();
  std::string_view rest = packet.substr(1);
  switch (command) {
    case '?': return stop_;
    case 'q': return query(rest);
    case 'Q': return set(rest);
    case 'H': return select_thread(rest);
    case 'T': {
      int64_t thread = 0;
      return parse_thread(rest, thread) && thread >= 0 ? "OK" : std::string(kError);
    }
    case 'g': return read_all_registers();
    case 'G': return write_all_registers(rest);
    case 'p': return read_one_register(rest);
    case 'P': return write_one_register(rest);
    case 'm': return read_memory(rest);
    case 'M': return write_memory(rest, false);
    case 'X': return write_memory(rest, true);
    case 'Z': return change_point(rest, true);
    case 'z': return change_point(rest, false);
    case 'c': return resume_from(rest, Action::Run, false);
    case 's': return resume_from(rest, Action::Step, false);
    case 'C': return resume_from(rest, Action::Run, true);
    case 'S': return resume_from(rest, Action::Step, true);
    case 'v': return verbose(rest);
    case 'D':
      done_ = true;
      target_.detach();
      return "OK";
    case 'k':
      done_ = true;
      target_.kill();
      return "";
    default: return "";
  }
}

std::string Session::query(std::string_view text) {
  if (text.starts_with("Supported")) {
    return "PacketSize=" + hex_number(kLargestPacket) +
           ";qXfer:features:read+;vContSupported+;QStartNoAckMode+";
  }
  if (prefixed(text, "Xfer:features:read:")) return features(text);
  if (text == "C") return "QC" + hex_number(current_ + 1);
  if (text == "fThreadInfo") return thread_list();
  if (text == "sThreadInfo") return "l";
  if (text == "Attached" || text.starts_with("Attached:")) return "1";
  if (text.starts_with("Symbol:")) return "OK";
  if (text == "qemu.PhyMemMode") return physical_ ? "1" : "0";
  if (prefixed(text, "Rcmd,")) return command(text);
  if (prefixed(text, "ThreadExtraInfo,")) {
    int64_t thread = 0;
    if (!parse_thread(text, thread) || thread < 0) return std::string(kError);
    bool halted = target_.state(static_cast<unsigned>(thread)).halted != 0;
    std::string words = "CPU#" + std::to_string(thread) + (halted ? " [halted]" : " [running]");
    return to_hex({reinterpret_cast<const uint8_t*>(words.data()), words.size()});
  }
  return "";
}

std::string Session::command(std::string_view text) {
  std::vector<uint8_t> line;
  if (!from_hex(text, line)) return std::string(kError);
  std::string said = target_.command(std::string(line.begin(), line.end()))
                         .value_or("commands: info jit, system_reset, quit\n");
  if (said.empty()) return "OK";
  return to_hex({reinterpret_cast<const uint8_t*>(said.data()), said.size()});
}

std::string Session::set(std::string_view text) {
  if (text == "qemu.PhyMemMode:0" || text == "qemu.PhyMemMode:1") {
    physical_ = text.back() == '1';
    target_.use_physical_addresses(physical_);
    return "OK";
  }
  if (text != "StartNoAckMode") return "";
  acks_ = false;
  return "OK";
}

// "target.xml:OFFSET,LENGTH"
std::string Session::features(std::string_view text) const {
  uint64_t offset = 0, length = 0;
  if (!prefixed(text, "target.xml:")) return "E00";
  if (!take_number(text, offset) || !take_char(text, ',') || !take_number(text, length))
    return std::string(kError);
  std::string_view xml = target_xml();
  if (offset > xml.size()) return std::string(kError);
  // Escapes may double it.
  std::string_view part = xml.substr(offset, std::min<uint64_t>(length, kLargestPacket / 2 - 8));
  return (offset + part.size() < xml.size() ? "m" : "l") + std::string(part);
}

std::string Session::thread_list() const {
  std::string out = "m";
  for (unsigned i = 0; i < target_.cpus(); ++i) out += (i == 0 ? "" : ",") + hex_number(i + 1);
  return out;
}

// A thread's number as vCPU; -1 for all, any (0) is the current one.
bool Session::parse_thread(std::string_view text, int64_t& thread) const {
  if (text == "-1") {
    thread = -1;
    return true;
  }
  uint64_t number = 0;
  if (!take_number(text, number) || !text.empty() || number > target_.cpus()) return false;
  thread = number == 0 ? static_cast<int64_t>(current_) : static_cast<int64_t>(number - 1);
  return true;
}

std::string Session::select_thread(std::string_view text) {
  if (text.empty()) return std::string(kError);
  char what = text.front();
  int64_t thread = 0;
  if (!parse_thread(text.substr(1), thread)) return std::string(kError);
  if (what == 'g') {
    if (thread >= 0) current_ = static_cast<unsigned>(thread);
    return "OK";
  }
  if (what != 'c') return std::string(kError);
  continue_thread_ = thread;
  return "OK";
}

std::string Session::read_all_registers() {
  std::string out;
  const cpu::CpuState& s = target_.state(current_);
  for (unsigned i = 0; i < register_count(); ++i) out += to_hex(read_register(s, i));
  return out;
}

std::string Session::write_all_registers(std::string_view text) {
  std::vector<uint8_t> bytes;
  if (!from_hex(text, bytes)) return std::string(kError);
  cpu::CpuState& s = target_.change(current_);
  size_t at = 0;
  for (unsigned i = 0; i < register_count() && at + register_bytes(i) <= bytes.size(); ++i) {
    write_register(s, i, std::span(bytes).subspan(at, register_bytes(i)));
    at += register_bytes(i);
  }
  return "OK";
}

std::string Session::read_one_register(std::string_view text) {
  uint64_t number = 0;
  if (!take_number(text, number) || number >= register_count()) return std::string(kError);
  return to_hex(read_register(target_.state(current_), static_cast<unsigned>(number)));
}

std::string Session::write_one_register(std::string_view text) {
  uint64_t number = 0;
  std::vector<uint8_t> bytes;
  bool good =
      take_number(text, number) && take_char(text, '=') && from_hex(text, bytes) && number < register_count();
  if (!good) return std::string(kError);
  return write_register(target_.change(current_), static_cast<unsigned>(number), bytes) ? "OK"
                                                                                        : std::string(kError);
}

// "ADDRESS,LENGTH"
std::string Session::read_memory(std::string_view text) {
  uint64_t address = 0, length = 0;
  if (!take_number(text, address) || !take_char(text, ',') || !take_number(text, length))
    return std::string(kError);
  std::vector<uint8_t> bytes(std::min<uint64_t>(length, kLargestPacket / 2));
  size_t reached = target_.read_memory(current_, address, bytes);
  if (reached == 0 && length != 0) return std::string(kNoMemory);
  return to_hex(std::span(bytes).first(reached));
}

// "ADDRESS,LENGTH:BYTES"
std::string Session::write_memory(std::string_view text, bool binary) {
  uint64_t address = 0, length = 0;
  bool good =
      take_number(text, address) && take_char(text, ',') && take_number(text, length) && take_char(text, ':');
  if (!good) return std::string(kError);
  std::vector<uint8_t> bytes(text.begin(), text.end());
  if (!binary && !from_hex(text, bytes)) return std::string(kError);
  if (bytes.size() != length) return std::string(kError);
  return target_.write_memory(current_, address, bytes) == bytes.size() ? "OK" : std::string(kNoMemory);
}

// "TYPE,ADDRESS,KIND": software and hardware breakpoints are the same to the engines.
std::string Session::change_point(std::string_view text, bool insert) {
  uint64_t type = 0, address = 0, length = 0;
  bool good = take_number(text, type) && take_char(text, ',') && take_number(text, address) &&
              take_char(text, ',') && take_number(text, length);
  if (!good) return std::string(kError);
  if (type > 4) return "";
  constexpr Point::Kind kinds[5] = {Point::Kind::Execute, Point::Kind::Execute, Point::Kind::Write,
                                    Point::Kind::Read, Point::Kind::Access};
  Point point{address, type < 2 ? 1 : length, kinds[type]};
  if (point.length == 0 || point.length > kLongestPoint) return std::string(kError);
  auto same = [&](const Point& p) {
    return p.linear == point.linear && p.length == point.length && p.kind == point.kind;
  };
  std::vector<Point> changed = points_;
  std::erase_if(changed, same);
  if (insert) {
    if (changed.size() >= kMostPoints) return std::string(kTooMany);
    changed.push_back(point);
  }
  if (!target_.set_points(changed)) return std::string(kTooMany);
  points_ = std::move(changed);
  return "OK";
}

// "[SIGNAL;]ADDRESS" of c, s, C and S. Signals mean nothing to a machine.
std::string Session::resume_from(std::string_view text, Action action, bool with_signal) {
  uint64_t address = 0;
  if (with_signal) {
    uint64_t signal = 0;
    if (!take_number(text, signal)) return std::string(kError);
    take_char(text, ';');
  }
  unsigned cpu = continue_thread_ >= 0 ? static_cast<unsigned>(continue_thread_) : current_;
  if (take_number(text, address)) target_.change(cpu).rip = address;
  std::vector<Action> actions(target_.cpus(), action == Action::Step ? Action::Stay : Action::Run);
  actions[cpu] = action;
  resume(actions);
  return "";
}

std::string Session::verbose(std::string_view text) {
  if (text == "Cont?") return "vCont;c;C;s;S";
  if (prefixed(text, "Cont;")) return continue_with(text);
  if (text.starts_with("Kill")) {
    done_ = true;
    target_.kill();
    return "OK";
  }
  return "";
}

// "ACTION[:THREAD];…": the leftmost that matches a thread is its action.
std::string Session::continue_with(std::string_view text) {
  std::vector<Action> actions(target_.cpus(), Action::Stay);
  std::vector<bool> decided(target_.cpus(), false);
  while (!text.empty()) {
    auto end = std::min(text.find(';'), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.empty()) return std::string(kError);
    char what = one.front();
    bool step = what == 's' || what == 'S';
    if (!step && what != 'c' && what != 'C') return std::string(kError);
    int64_t thread = -1;
    auto colon = one.find(':');
    if (colon != std::string_view::npos && !parse_thread(one.substr(colon + 1), thread))
      return std::string(kError);
    for (unsigned i = 0; i < actions.size(); ++i) {
      if (decided[i] || (thread >= 0 && thread != static_cast<int64_t>(i))) continue;
      decided[i] = true;
      actions[i] = step ? Action::Step : Action::Run;
    }
  }
  if (std::ranges::count(actions, Action::Stay) == std::ssize(actions)) return std::string(kError);
  resume(actions);
  return "";
}

void Session::resume(const std::vector<Action>& actions) {
  running_ = true;
  report_stop_ = true;
  target_.resume(actions);
}

}  // namespace rhea::gdb
