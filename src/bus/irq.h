// An interrupt wire: a device drives a level, the board decides where it ends.
#pragma once

namespace rhea::bus {

class IrqSink {
 public:
  virtual ~IrqSink() = default;
  virtual void set_irq(unsigned pin, bool level) = 0;
};

class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(IrqSink& sink, unsigned pin) : sink_(&sink), pin_(pin) {}
  void set(bool level) const {
    if (sink_ != nullptr) sink_->set_irq(pin_, level);
  }
  void pulse() const {
    set(true);
    set(false);
  }

 private:
  IrqSink* sink_ = nullptr;
  unsigned pin_ = 0;
};

}  // namespace rhea::bus
