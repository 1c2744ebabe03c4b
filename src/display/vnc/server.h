// The VNC server of one screen: listens, admits viewers and keeps a copy of what they see, so that only what
// has really changed is sent. RFC 6143; QEMU 7.2's -vnc is the behaviour.
//
// Missing: TLS and SASL, the lossy encodings, clipboard. Everything holds the machine lock; pictures
// are encoded by a worker of its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "async/worker_pool.h"
#include "display/input.h"
#include "display/key_queue.h"
#include "display/layout.h"
#include "display/screen.h"
#include "display/vnc/client.h"
#include "display/vnc/dirty_tiles.h"
#include "display/vnc/listener.h"
#include "display/vnc/sound.h"

namespace rhea::display::vnc {

enum class Share : uint8_t { AllowExclusive, ForceShared, Ignore };

class Server final : private Viewer, private InputListener {
 public:
  struct Options {
    Address address;                   // of VNC itself
    std::optional<Address> websocket;  // and for browsers
    bool reverse = false;              // connect to a viewer that listens at `address`
    bool password = false;             // required; nobody gets in before set_password()
    Share share = Share::AllowExclusive;
    unsigned connections = 32;
    int64_t key_delay_ns = 10'000'000;
    std::string desktop_name = "QEMU";
    Layout layout = {};
    SoundSource sound = {};  // empty: viewers are offered none
  };
  struct Wiring {
    async::EventLoop& loop;
    Screen& screen;
    InputHub& input;
  };
  enum class Event { Connected, Initialized, Disconnected };
  struct ClientInfo {
    Endpoint peer, local;
    bool shared = true;
  };

  // Machine lock held, as for the destructor.
  static Result<std::unique_ptr<Server>> create(Wiring wiring, Options options);
  ~Server() override;

  // For the monitor.
  void set_password(std::optional<std::string> password) { password_ = std::move(password); }
  // Host time in seconds after which the password is not accepted any more; nothing: never.
  void set_password_expiry(std::optional<int64_t> seconds) { expiry_s_ = seconds; }
  std::vector<Endpoint> listening() const;
  std::vector<ClientInfo> clients() const;
  const char* auth_name() const { return options_.password ? "vnc" : "none"; }
  void disconnect_all();
  void on_event(std::function<void(Event, const ClientInfo&)> listener) { events_ = std::move(listener); }

  // For clients.
  async::EventLoop& loop() { return wiring_.loop; }
  Screen& screen() { return wiring_.screen; }
  InputHub& input() { return wiring_.input; }
  KeyQueue& keys() { return keys_; }
  const Layout& layout() const { return options_.layout; }
  const SoundSource& sound() const { return options_.sound; }
  const std::string& desktop_name() const { return options_.desktop_name; }
  async::WorkerPool& workers() { return workers_; }
  const Surface& shown() const { return shown_; }
  bool needs_password() const { return options_.password; }
  std::optional<std::string> password() const;
  bool admit(Client& client);
  void client_ready(Client& client);
  void client_over(Client& client);

 private:
  Server(Wiring wiring, Options options);
  Result<> start();
  void accepted(int fd, bool websocket);
  void surface_changed(const Surface& surface) override;
  void changed(const Rect& area) override;
  void cursor_changed(const Cursor* cursor) override;
  void indicators_changed(unsigned leds) override;
  void pointer_kind_changed(bool places) override;
  // Brings the copy up to date when the loop comes round, and shows it.
  void flush_soon();
  void flush();
  void update_all();
  void reap_later();
  void tell(Event event, const Client& client);
  bool copy_tile(const Rect& tile);
  size_t ready_clients(const Client* other_than = nullptr) const;

  Wiring wiring_;
  Options options_;
  KeyQueue keys_;
  std::optional<std::string> password_;
  std::optional<int64_t> expiry_s_;
  std::function<void(Event, const ClientInfo&)> events_;
  std::vector<std::unique_ptr<ListeningSocket>> sockets_;
  std::vector<std::shared_ptr<Client>> clients_;
  Surface shown_{1, 1};  // what clients have seen or are about to; no pixel has a top byte
  DirtyTiles dirty_;     // of the screen, against shown_
  bool flush_posted_ = false, reap_posted_ = false, watching_ = false;
  std::shared_ptr<Server*> self_;  // for what is posted: gone with the server
  async::WorkerPool workers_{1};
};

}  // namespace rhea::display::vnc
