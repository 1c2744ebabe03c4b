// The host's ends that devices are given by name: what the command line (or the monitor) has opened. Boards
// and drivers see only these functions; who owns what is the business of src/tools/system/setup.
//
// Machine lock held.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/failf.h"
#include "base/result.h"

namespace rhea::async {
class EventLoop;
}
namespace rhea::audio {
class Backend;
}
namespace rhea::block {
class Drive;
class Drives;
}  // namespace rhea::block
namespace rhea::chardev {
class Chardev;
}
namespace rhea::display {
class InputHub;
class Screens;
}  // namespace rhea::display
namespace rhea::net {
class Endpoint;
class Network;
}  // namespace rhea::net

namespace rhea::devices::virtio {
class EntropySource;
}

namespace rhea::machine {

// A name that nothing has is NotFound; a back end that another device has already taken is Busy.
template <class T>
using Finder = std::function<Result<T*>(const std::string& id)>;

struct Backends {
  Finder<chardev::Chardev> chardev;
  Finder<block::Drive> drive;
  // A new, empty drive for a device with removable media that was given none; named after the device's id.
  std::function<Result<block::Drive*>(const std::string& device_id)> empty_drive;
  Finder<net::Endpoint> netdev;  // the end that the device is to speak to
  Finder<audio::Backend> audiodev;
  std::function<Result<std::shared_ptr<devices::virtio::EntropySource>>(const std::string& id)> entropy;
  // Contents of a firmware or option ROM file, found in the firmware folders or by path.
  std::function<Result<std::vector<uint8_t>>(const std::string& name)> firmware;
  // The guest has lent so many bytes to the host; may be null.
  std::function<void(uint64_t bytes)> balloon_changed;
  async::EventLoop* loop = nullptr;     // null only in unit tests
  block::Drives* drives = nullptr;      // all of them, for a monitor; null only in unit tests
  display::Screens* screens = nullptr;  // null: nobody can look
  display::InputHub* input = nullptr;
  net::Network* network = nullptr;  // where network devices list themselves; null only in unit tests
};

// What `find` gives for the value of a device's property.
template <class T>
Result<T*> find_backend(const Finder<T>& find, std::string_view kind, const std::string& id) {
  if (!find) return failf(ErrorKind::NotFound, "there is no {} '{}'", kind, id);
  return find(id);
}

}  // namespace rhea::machine
