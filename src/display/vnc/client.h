// One viewer of a VNC server: the handshake, its requests and keys, and pictures for it.
//
// RFC 6143 7.1-7.5 and rfbproto. A picture is encoded by a worker from a copy of its pixels; the client has
// one under way at a time and the next is begun only when the last one has left, so a viewer that reads
// slowly gets fewer pictures and one that never reads holds one. Machine lock.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "async/clock.h"
#include "display/key_translator.h"
#include "display/screen.h"
#include "display/vnc/connection.h"
#include "display/vnc/dirty_tiles.h"
#include "display/vnc/encoder.h"
#include "display/vnc/listener.h"
#include "display/vnc/sound.h"
#include "display/vnc/vnc_auth.h"

namespace rhea::display::vnc {

class Server;

class Client final : public std::enable_shared_from_this<Client>, private Connection::Listener {
 public:
  struct Peer {
    Endpoint other, local;
  };

  static Result<std::shared_ptr<Client>> create(Server& server, int fd, Peer peer);
  ~Client() override;

  const Peer& peer() const { return peer_; }
  // Past the handshake: it sees the screen.
  bool ready() const { return phase_ == Phase::Ready; }
  bool over() const { return phase_ == Phase::Over; }
  bool shared() const { return shared_; }
  void end();

  // From the server: parts of its copy of the screen have changed; the screen has another size; …
  void mark(const Rect& area) { dirty_.add(area); }
  void surface_changed();
  void cursor_changed() { news_.cursor = true; }
  void indicators_changed() { news_.indicators = true; }
  void pointer_kind_changed() { news_.pointer_kind = true; }
  // Begins a picture if one is asked for, there is something to show and the last one has left.
  void update();

 private:
  // In the order of the handshake.
  enum class Phase : uint8_t { Version, Security, Proof, Init, Ready, Leaving, Over };
  enum Feature : unsigned {
    kHasDesktopSize,
    kHasExtendedSize,
    kHasCursor,
    kHasAlphaCursor,
    kHasPointerChange,
    kHasExtendedKeys,
    kHasIndicators,
    kHasSound,
    kFeatures
  };
  // What the client has not been told yet.
  struct News {
    bool size = false, cursor = false, indicators = false, pointer_kind = false, extended_keys = false,
         sound = false;
    bool resize_answer = false;
    uint16_t resize_status = 0;
  };
  struct Job;

  Client(Server& server, Peer peer);
  void received(std::span<const uint8_t> bytes) override;
  void drained() override;
  void ended() override;

  // client_handshake.cc
  size_t handshake(std::span<const uint8_t> in);
  size_t take_version(std::span<const uint8_t> in);
  size_t take_security(std::span<const uint8_t> in);
  size_t take_proof(std::span<const uint8_t> in);
  size_t take_init(std::span<const uint8_t> in);
  void offer_security();
  void security_chosen(uint8_t type);
  void refuse(std::string_view reason);
  void greet();

  // client_messages.cc: each returns how many bytes it used, 0: more are needed.
  size_t message(std::span<const uint8_t> in);
  size_t take_pixel_format(std::span<const uint8_t> in);
  size_t take_encodings(std::span<const uint8_t> in);
  size_t take_update_request(std::span<const uint8_t> in);
  size_t take_key(std::span<const uint8_t> in);
  size_t take_pointer(std::span<const uint8_t> in);
  size_t take_cut_text(std::span<const uint8_t> in);
  size_t take_desktop_size(std::span<const uint8_t> in);
  size_t take_qemu_message(std::span<const uint8_t> in);
  size_t take_sound_message(std::span<const uint8_t> in);
  void use_encodings(std::span<const int32_t> list);
  void pointer(unsigned buttons, unsigned x, unsigned y);
  void buttons(unsigned now);
  void say_goodbye();

  // client_sound.cc
  bool set_sound_format(std::span<const uint8_t> in);
  void enable_sound(bool enable);
  void sound_heard(std::span<const int16_t> samples);
  void send_sound(uint16_t operation, std::span<const uint8_t> data = {});

  // client_update.cc
  bool has(Feature feature) const { return features_[feature]; }
  bool resizable() const { return has(kHasDesktopSize) || has(kHasExtendedSize); }
  unsigned write_news(Output& out);
  void write_size(Output& out, uint16_t reason, uint16_t status) const;
  bool write_cursor(Output& out) const;
  void copy_pixels(Job& job) const;
  void job_done(Job& job);

  Server& server_;
  Peer peer_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<async::Timer> timer_;  // ends a handshake or a goodbye that takes too long
  Phase phase_ = Phase::Version;
  unsigned minor_version_ = 8;
  std::array<uint8_t, kChallengeSize> challenge_{};
  bool greeted_ = false, shared_ = true;
  std::vector<uint8_t> in_;  // an incomplete message
  uint64_t skip_ = 0;        // bytes of a message that nobody wants

  KeyTranslator keys_;
  unsigned buttons_ = 0;
  std::optional<std::pair<unsigned, unsigned>> last_place_;

  unsigned width_ = 0, height_ = 0;  // what the client was told
  std::bitset<kFeatures> features_;
  News news_;
  Encoder::Settings settings_;
  std::shared_ptr<Encoder> encoder_ = std::make_shared<Encoder>();
  DirtyTiles dirty_;
  std::optional<Rect> requested_;
  bool busy_ = false;  // a worker has a picture

  SoundFormat sound_format_;
  std::unique_ptr<SoundTap> sound_;
  bool sounding_ = false;  // the client was told of a beginning and of no end
};

}  // namespace rhea::display::vnc
