// Sound: HDA controllers and the codecs on their links.

#include <memory>

#include "audio/backend.h"
#include "base/failf.h"
#include "config/schema.h"
#include "devices/audio/hda_codec.h"
#include "devices/audio/intel_hda.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"

namespace rhea::machine {
namespace {

using devices::HdaBus;
using devices::IntelHda;

enum class Switch : uint8_t { On, Off, Auto };

struct ControllerOptions : PciPlace {
  Switch msi = Switch::Auto;
};
struct CodecOptions {
  std::optional<std::string> bus, audiodev;
  std::optional<unsigned> cad;
  bool mixer = true;
};

const config::Group<ControllerOptions>& controller_group() {
  static const config::Group<ControllerOptions> group{
      "intel-hda", "",
      with_pci_place<ControllerOptions>({config::choice(
          "msi", &ControllerOptions::msi, {{"auto", Switch::Auto}, {"on", Switch::On}, {"off", Switch::Off}},
          "message-signalled interrupts (auto: yes)")})};
  return group;
}

const config::Group<CodecOptions>& codec_group() {
  static const config::Group<CodecOptions> group{
      "hda-duplex",
      "",
      {config::text("bus", &CodecOptions::bus, "name of an HDA bus"),
       config::text("audiodev", &CodecOptions::audiodev, "id of the audio back end"),
       config::integer("cad", &CodecOptions::cad, 0u, HdaBus::kAddresses - 1, "address on the bus"),
       config::boolean("mixer", &CodecOptions::mixer, "the codec has volume and mute")}};
  return group;
}

Result<> add_controller(DeviceSite& site, const DeviceRequest& request, IntelHda::Model model) {
  ControllerOptions options;
  TRY(controller_group().apply(request.values, options));
  auto* hda =
      TRY(plug_pci(site, request, options,
                   std::make_unique<IntelHda>(IntelHda::Wiring{
                       .clock = site.virtual_clock(), .model = model, .msi = options.msi != Switch::Off})));
  if (!request.id.empty()) {
    site.tree().add_bus(request.id + ".0", hda->hda_bus(), hda);
    return {};
  }
  unsigned number = 0;
  for (const DeviceTree::NamedBus& known : site.tree().buses())
    number += known.bus->type() == "HDA" ? 1u : 0u;
  site.tree().add_bus("hda." + std::to_string(number), hda->hda_bus(), hda);
  return {};
}

Result<unsigned> choose_address(const HdaBus& bus, std::optional<unsigned> wanted) {
  if (wanted && bus.at(*wanted) != nullptr) return failf(ErrorKind::Busy, "address {} is taken", *wanted);
  if (wanted) return *wanted;
  for (unsigned address = 0; address < HdaBus::kAddresses; ++address) {
    if (bus.at(address) == nullptr) return address;
  }
  return fail(ErrorKind::NoSpace, "the HDA bus is full");
}

Result<> add_codec(DeviceSite& site, const DeviceRequest& request, bool input, bool micro) {
  CodecOptions options;
  TRY(codec_group().apply(request.values, options));
  HdaBus* bus = TRY(site.tree().find_bus<HdaBus>(options.bus));
  const unsigned address = TRY(choose_address(*bus, options.cad));
  audio::Backend* backend = nullptr;
  if (options.audiodev) {
    backend = TRY(find_backend(site.backends().audiodev, "audiodev", *options.audiodev));
  } else if (auto any = find_backend(site.backends().audiodev, "audiodev", "")) {
    backend = *any;  // the only one there is
  }
  site.tree().own(
      request,
      std::make_unique<devices::StereoHdaCodec>(devices::StereoHdaCodec::Wiring{.bus = *bus,
                                                                                .address = address,
                                                                                .backend = backend,
                                                                                .output = true,
                                                                                .input = input,
                                                                                .micro = micro,
                                                                                .mixer = options.mixer}),
      site.tree().name_of(*bus));
  return {};
}

Result<> add_ich6(DeviceSite& site, const DeviceRequest& request) {
  return add_controller(site, request, IntelHda::Model::Ich6);
}
Result<> add_ich9(DeviceSite& site, const DeviceRequest& request) {
  return add_controller(site, request, IntelHda::Model::Ich9);
}
Result<> add_output(DeviceSite& site, const DeviceRequest& request) {
  return add_codec(site, request, false, false);
}
Result<> add_duplex(DeviceSite& site, const DeviceRequest& request) {
  return add_codec(site, request, true, false);
}
Result<> add_micro(DeviceSite& site, const DeviceRequest& request) {
  return add_codec(site, request, true, true);
}

}  // namespace

std::span<const DeviceDriver> sound_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"intel-hda", "PCI", "Sound", "Intel HD Audio Controller (ich6)",
       [] { return controller_group().help(); }, add_ich6},
      {"ich9-intel-hda", "PCI", "Sound", "Intel HD Audio Controller (ich9)",
       [] { return controller_group().help(); }, add_ich9},
      {"hda-output", "HDA", "Sound", "HDA Audio Codec, output-only (line-out)",
       [] { return codec_group().help(); }, add_output},
      {"hda-duplex", "HDA", "Sound", "HDA Audio Codec, duplex (line-out, line-in)",
       [] { return codec_group().help(); }, add_duplex},
      {"hda-micro", "HDA", "Sound", "HDA Audio Codec, duplex (speaker, microphone)",
       [] { return codec_group().help(); }, add_micro},
  };
  return kDrivers;
}

}  // namespace rhea::machine
