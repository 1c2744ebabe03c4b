// Parallel ports.
#include "config/schema.h"
#include "devices/parallel/lpt.h"
#include "machine/plug/device_driver.h"

namespace rhea::machine {
namespace {

struct ParallelOptions {
  std::optional<unsigned> index;
  std::optional<uint32_t> iobase;
  unsigned irq = 7;
  std::optional<std::string> chardev;
};

constexpr uint32_t kPorts[] = {0x378, 0x278, 0x3bc};

const config::Group<ParallelOptions>& parallel_group() {
  using P = ParallelOptions;
  static const config::Group<P> group{
      "isa-parallel",
      "",
      {
          config::integer("index", &P::index, 0, 2, "which port: 0x378, 0x278 or 0x3bc"),
          config::integer("iobase", &P::iobase, 0, 0xfff8, "first I/O port"),
          config::integer("irq", &P::irq, 0, 15, "ISA interrupt"),
          config::text("chardev", &P::chardev, "id of the character back end"),
      }};
  return group;
}

Result<> add_parallel(DeviceSite& site, const DeviceRequest& request) {
  ParallelOptions options;
  TRY(parallel_group().apply(request.values, options));
  unsigned index = options.index.value_or(0);
  for (const auto& other : site.tree().devices()) {
    if (!options.index && dynamic_cast<const devices::Lpt*>(other->device.get()) != nullptr) ++index;
  }
  if (index >= std::size(kPorts)) return fail(ErrorKind::Invalid, "there can be three parallel ports only");
  chardev::Chardev* backend = nullptr;
  if (options.chardev) backend = TRY(find_backend(site.backends().chardev, "chardev", *options.chardev));
  auto& port = site.tree().own(request, std::make_unique<devices::Lpt>(devices::Lpt::Wiring{
                                            .irq = site.isa_irq(options.irq), .backend = backend}));
  return site.map_ports(options.iobase.value_or(kPorts[index]), devices::Lpt::kIoSize, port);
}

}  // namespace

std::span<const DeviceDriver> parallel_drivers() {
  static const DeviceDriver drivers[] = {
      {"isa-parallel", "ISA", "Input", "parallel port", [] { return parallel_group().help(); }, add_parallel},
  };
  return drivers;
}

}  // namespace rhea::machine
