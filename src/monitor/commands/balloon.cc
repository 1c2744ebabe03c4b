// The memory that the guest lends to the host, by its virtio-balloon.
#include <fmt/format.h>

#include <algorithm>

#include "base/failf.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_pci.h"
#include "monitor/command.h"

namespace rhea::monitor {

namespace {

using devices::virtio::VirtioBalloon;
using devices::virtio::VirtioPci;

// The words are known to programs.
Result<VirtioBalloon*> find_balloon(Call& call) {
  for (const auto& plugged : call.vm.site->tree().devices()) {
    auto* function = dynamic_cast<VirtioPci*>(plugged->device.get());
    if (function == nullptr) continue;
    if (auto* balloon = dynamic_cast<VirtioBalloon*>(&function->device())) return balloon;
  }
  return fail(ErrorKind::NotFound, "No balloon device has been activated");
}

Result<Json> set_balloon(Call& call) {
  VirtioBalloon* balloon = TRY(find_balloon(call));
  const int64_t wanted = call.number("value");
  if (wanted <= 0) return fail(ErrorKind::Invalid, "Parameter 'target' expects a size");
  const uint64_t memory = call.vm.ram_bytes;
  const uint64_t lent = memory - std::min(memory, static_cast<uint64_t>(wanted));
  balloon->set_target(static_cast<uint32_t>(lent / VirtioBalloon::kPage));
  return Json();
}

Result<Json> query_balloon(Call& call) {
  const VirtioBalloon* balloon = TRY(find_balloon(call));
  const uint64_t lent = std::min(call.vm.ram_bytes, balloon->actual() * VirtioBalloon::kPage);
  return Json{{"actual", call.vm.ram_bytes - lent}};
}

std::string show_balloon(const Json& result) {
  return fmt::format("balloon: actual={}\n", result["actual"].get<uint64_t>() >> 20);
}

}  // namespace

std::span<const Command> balloon_commands() {
  static const std::vector<Command> rows = {
      {"query-balloon", "info balloon", "", "show balloon information", {}, query_balloon, show_balloon},
      {"balloon",
       "balloon",
       "target",
       "request VM to change its memory allocation (in MB)",
       {{"value", Kind::Size}},
       set_balloon},
  };
  return rows;
}

}  // namespace rhea::monitor
