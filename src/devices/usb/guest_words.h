// What the USB host controllers share: little-endian words of the guest's memory, and the device that answers
// to an address below their own ports.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "base/endian.h"
#include "bus/usb/usb_device.h"
#include "bus/usb/usb_port.h"

namespace rhea::devices {

inline constexpr size_t kMostGuestWords = 12;  // the longest structure: a queue head of EHCI

// `read` fetches bytes of the guest's memory; false: it cannot, or there are too many.
template <class Read>
bool read_guest_words(std::span<uint32_t> to, const Read& read) {
  std::array<uint8_t, kMostGuestWords * 4> raw{};
  if (to.size() > kMostGuestWords || !read(std::span(raw).first(to.size() * 4))) return false;
  for (size_t i = 0; i < to.size(); ++i) to[i] = load_le<uint32_t>(&raw[i * 4]);
  return true;
}

template <class Write>
bool write_guest_words(std::span<const uint32_t> from, const Write& write) {
  std::array<uint8_t, kMostGuestWords * 4> raw{};
  if (from.size() > kMostGuestWords) return false;
  for (size_t i = 0; i < from.size(); ++i) store_le<uint32_t>(&raw[i * 4], from[i]);
  return write(std::span<const uint8_t>(raw).first(from.size() * 4));
}

// Below the ports for which `usable` holds; null: none has the address.
template <class Usable>
bus::usb::UsbDevice* find_below(std::span<const std::unique_ptr<bus::usb::UsbPort>> ports, uint8_t address,
                                const Usable& usable) {
  for (size_t i = 0; i < ports.size(); ++i) {
    if (!usable(i)) continue;
    bus::usb::UsbDevice* device = ports[i]->device();
    if (device == nullptr) continue;
    if (bus::usb::UsbDevice* found = device->find(address)) return found;
  }
  return nullptr;
}

}  // namespace rhea::devices
