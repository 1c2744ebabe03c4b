// What every emulated device is, and the visitor through which its state is described once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rhea::bus {

enum class ResetKind { Cold, Warm };

// Named, typed fields. Saving, loading, reset checks and debug dumps are all visitors over the same
// description.
class StateVisitor {
 public:
  virtual ~StateVisitor() = default;
  virtual void number(std::string_view name, uint64_t& value, unsigned bytes) = 0;
  virtual void bytes(std::string_view name, std::span<uint8_t> value) = 0;
  virtual void enter(std::string_view name) = 0;
  virtual void leave() = 0;
  // True when fields are being overwritten: a device then renews what it derives from them (mappings,
  // timers).
  virtual bool loading() const { return false; }

  template <class T>
  void field(std::string_view name, T& value) {
    uint64_t wide = static_cast<uint64_t>(value);
    number(name, wide, sizeof(T));
    value = static_cast<T>(wide);
  }
  template <class T, std::size_t N>
  void array(std::string_view name, T (&values)[N]) {
    enter(name);
    for (T& value : values) field("item", value);
    leave();
  }
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;
  virtual void reset(ResetKind kind) = 0;
  virtual void state(StateVisitor& v) = 0;
};

}  // namespace rhea::bus
