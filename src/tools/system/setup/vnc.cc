#include "tools/system/setup/vnc.h"

#include "base/failf.h"
#include "base/log.h"
#include "block/secrets.h"

namespace rhea::system {

namespace {

// What a viewer hears: the mix of an audiodev.
struct BackendTap final : display::vnc::SoundTap {
  BackendTap(audio::Backend& backend, display::vnc::SoundFormat format, audio::Capture::Heard heard)
      : capture(backend, {format.rate, format.channels}, std::move(heard)) {}
  audio::Capture capture;
};

display::vnc::SoundSource sound_of(audio::Backend& backend) {
  return [&backend](display::vnc::SoundFormat format, auto heard) {
    return std::make_unique<BackendTap>(backend, format, std::move(heard));
  };
}

}  // namespace

Result<> VncServers::open(const VncOptions& options, const std::string& guest_name) {
  const display::Layout layout = TRY_IN(display::Layout::load(options.keymap), "-k " + options.keymap);
  for (const VncOption& option : options.servers) {
    const std::string context = "-vnc " + option.where;
    auto resolved = TRY_IN(resolve_vnc(option), context);
    resolved.layout = layout;
    if (!guest_name.empty()) resolved.desktop_name = "QEMU (" + guest_name + ")";
    display::Screen* screen = option.display.empty() ? &screens_.primary() : screens_.find(option.display);
    if (screen == nullptr) {
      return failf(ErrorKind::NotFound, "{}: no graphics device '{}'", context, option.display);
    }
    if (!option.audiodev.empty()) {
      audio::Backend* backend = TRY_IN(find_sound_(option.audiodev), context);
      resolved.sound = sound_of(*backend);
    }
    const bool has_secret = !option.password_secret.empty();
    const std::string secret = has_secret ? TRY_IN(block::password_of(option.password_secret), context) : "";
    auto server =
        TRY_IN(display::vnc::Server::create({loop_, *screen, input_}, std::move(resolved)), context);
    if (has_secret) server->set_password(secret);
    servers_.add(option.id, std::move(server));
  }
  return {};
}

Result<> VncServers::open_default(const VncOptions& options, const std::string& guest_name) {
  constexpr unsigned kLast = 99;
  VncOptions local{.servers = {}, .keymap = options.keymap};
  local.servers.emplace_back();
  local.servers.back().where = "localhost:0";
  local.servers.back().to = kLast;
  TRY(open(local, guest_name));
  for (const display::vnc::Endpoint& place : servers_.all().back().server->listening()) {
    log_info("there is no display server: VNC server running on {}:{} (-display none: no screen)", place.host,
             place.service);
    break;
  }
  return {};
}

}  // namespace rhea::system
