// The properties that every virtio function on a PCI bus has, and the three names that each such driver goes
// by.
//
//     struct RngOptions : VirtioPlace { … };
//     plug_virtio(site, request, options, variant, std::move(device), vectors)
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/virtio/virtio_pci.h"
#include "machine/plug/disk_options.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {

// "NAME", "NAME-transitional", "NAME-non-transitional".
enum class VirtioVariant : uint8_t { Generic, Transitional, Modern };

struct VirtioPlace : PciPlace {
  OnOffAuto disable_legacy = OnOffAuto::Auto;
  bool disable_modern = false;
  std::optional<unsigned> vectors;
  devices::virtio::RingOptions ring_options() const {
    return {.indirect_desc = indirect_desc,
            .event_idx = event_idx,
            .packed = packed,
            .notify_on_empty = notify_on_empty,
            .any_layout = any_layout};
  }
  bool indirect_desc = true, event_idx = true, packed = false, notify_on_empty = true, any_layout = true;
};

// Plugs the device in behind a PCI function. Errors: Invalid (both interfaces are off), and choose_slot()'s.
Result<devices::virtio::VirtioPci*> plug_virtio(DeviceSite& site, const DeviceRequest& request,
                                                const VirtioPlace& place, VirtioVariant variant,
                                                std::unique_ptr<devices::virtio::VirtioDevice> device,
                                                unsigned default_vectors);

template <class T>
std::vector<config::Property> with_virtio_place(VirtioVariant variant, std::vector<config::Property> own) {
  const auto member = []<class V>(V VirtioPlace::*m) { return static_cast<V T::*>(m); };
  std::vector<config::Property> all = {
      config::integer("vectors", member(&VirtioPlace::vectors), 0u, 2048u, "MSI-X vectors; 0: none"),
      config::boolean("indirect_desc", member(&VirtioPlace::indirect_desc), "offer indirect descriptors"),
      config::boolean("event_idx", member(&VirtioPlace::event_idx), "offer event indices"),
      config::boolean("packed", member(&VirtioPlace::packed), "offer packed rings"),
      config::boolean("notify_on_empty", member(&VirtioPlace::notify_on_empty),
                      "offer an interrupt when a ring runs empty (legacy)"),
      config::boolean("any_layout", member(&VirtioPlace::any_layout),
                      "offer any layout of requests (legacy)")};
  if (variant == VirtioVariant::Generic) {
    all.push_back(config::choice("disable-legacy", member(&VirtioPlace::disable_legacy), on_off_auto(),
                                 "no legacy interface; auto: none behind PCI Express ports"));
    all.push_back(
        config::boolean("disable-modern", member(&VirtioPlace::disable_modern), "no modern interface"));
  }
  for (config::Property& property : all) own.push_back(std::move(property));
  return with_pci_place<T>(std::move(own));
}

}  // namespace rhea::machine
