// What a PCI bus has whose slots are filled and emptied while the machine runs: the hardware that tells the
// guest. Taking a device out is a request; the guest lets go of it when it is ready, or never.
//
// Caller holds the machine lock.
#pragma once

namespace rhea::bus::pci {

class SlotHotplug {
 public:
  virtual ~SlotHotplug() = default;
  // There is a device in this slot that was not there.
  virtual void arrived(unsigned slot) = 0;
  // May be asked again: guests that were not ready the first time have forgotten it.
  virtual void ask_for_removal(unsigned slot) = 0;
};

}  // namespace rhea::bus::pci
