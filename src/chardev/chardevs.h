// The back ends of a machine by name: what -chardev, -serial, -monitor and the monitor's commands make and
// look up. Each serves one device, or with mux up to four. Caller holds the machine lock.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chardev/mux_chardev.h"
#include "chardev/spec.h"

namespace rhea::chardev {

class RingbufChardev;

class Chardevs {
 public:
  // Makes those that this layer does not have ("vc").
  using Maker = std::function<Result<std::unique_ptr<Chardev>>(const ChardevSpec& spec)>;

  explicit Chardevs(async::EventLoop& loop) : loop_(loop) {}
  // Muxes before what they stand on.
  ~Chardevs();
  Chardevs(const Chardevs&) = delete;
  Chardevs& operator=(const Chardevs&) = delete;

  // Before anything is opened.
  MuxChardev::Hooks& hooks() { return hooks_; }
  void set_escape(uint8_t character) { escape_ = character; }
  void set_stdio_signals(bool on) { stdio_signals_ = on; }
  void set_vc_maker(Maker maker) { make_vc_ = std::move(maker); }

  // Under spec.id, or `label` where it has none. A TCP or UNIX server waits here for its first client unless
  // told not to. Errors: Busy (a name or stdio is taken) and what the host says.
  Result<> add(const ChardevSpec& spec, const std::string& label);
  // For one more device; a mux gives a port. Errors: NotFound, Busy.
  Result<Chardev*> take(const std::string& id);
  // The device is gone. The back end waits for another.
  void give_back(const std::string& id);
  // "chardev:ID" takes that one; other words make a new one named `label`.
  Result<Chardev*> open(const std::string& words, const std::string& label);
  // Errors: NotFound, Busy (a device uses it).
  Result<> remove(const std::string& id);
  bool has(const std::string& id) const { return entries_.contains(id); }

  struct Line {
    std::string label, description;
    bool used;
  };
  std::vector<Line> list() const;
  // Errors: NotFound, Invalid (another kind).
  Result<RingbufChardev*> find_ringbuf(const std::string& id) const;

 private:
  struct Entry {
    std::unique_ptr<Chardev> chardev;
    RingbufChardev* ringbuf = nullptr;
    std::unique_ptr<MuxChardev> mux;  // on the chardev
    unsigned users = 0;
    bool is_stdio = false;
  };
  Result<std::unique_ptr<Chardev>> make(const ChardevSpec& spec, const std::string& name, Entry& entry);

  async::EventLoop& loop_;
  MuxChardev::Hooks hooks_;
  Maker make_vc_;
  uint8_t escape_ = 1;
  bool stdio_signals_ = true;
  bool stdio_taken_ = false;
  std::map<std::string, Entry> entries_;
};

}  // namespace rhea::chardev
