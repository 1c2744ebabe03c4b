// How a viewer begins. RFC 6143 7.1 - 7.3; versions 3.3, 3.7 and 3.8.

#include <sys/random.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "display/vnc/client.h"
#include "display/vnc/server.h"

namespace rhea::display::vnc {

namespace {

constexpr std::string_view kVersion = "RFB 003.008\n";
constexpr int64_t kGoodbyeNs = 5'000'000'000;

bool equal_in_constant_time(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  unsigned differs = a.size() != b.size() ? 1 : 0;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) differs |= a[i] ^ b[i];
  return differs == 0;
}

}  // namespace

void Client::greet() {
  if (std::exchange(greeted_, true)) return;
  Output out;
  out.text(kVersion);
  connection_->send(out.view());
}

// Ends the connection once what was sent has left, at the latest after a moment.
void Client::say_goodbye() {
  if (phase_ == Phase::Over) return;
  phase_ = Phase::Leaving;
  timer_->arm(server_.loop().monotonic_clock().now_ns() + kGoodbyeNs);
  connection_->end_after_output();
}

size_t Client::handshake(std::span<const uint8_t> in) {
  switch (phase_) {
    case Phase::Version: return take_version(in);
    case Phase::Security: return take_security(in);
    case Phase::Proof: return take_proof(in);
    default: return take_init(in);
  }
}

size_t Client::take_version(std::span<const uint8_t> in) {
  if (in.size() < kVersion.size()) return 0;
  const std::string text(in.begin(), in.begin() + static_cast<ptrdiff_t>(kVersion.size()));
  const auto digit = [&](size_t at) { return std::isdigit(static_cast<unsigned char>(text[at])) != 0; };
  const bool shaped = text.starts_with("RFB 003.") && digit(8) && digit(9) && digit(10) && text[11] == '\n';
  if (!shaped) {
    end();
    return in.size();
  }
  const unsigned minor = static_cast<unsigned>(std::stoul(text.substr(8, 3)));
  // 3.5 was never published and counts as 3.3, as do all that are unknown; later ones are 3.8.
  minor_version_ = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
  offer_security();
  return kVersion.size();
}

void Client::offer_security() {
  const uint8_t type = server_.needs_password() ? kSecurityVncAuth : kSecurityNone;
  Output out;
  if (minor_version_ >= 7) {
    out.u8(1);
    out.u8(type);
    phase_ = Phase::Security;
    connection_->send(out.view());
  } else {
    out.u32(type);
    connection_->send(out.view());
    security_chosen(type);
  }
}

size_t Client::take_security(std::span<const uint8_t> in) {
  const uint8_t offered = server_.needs_password() ? kSecurityVncAuth : kSecurityNone;
  if (in[0] != offered) {
    refuse("Authentication failed");
  } else {
    security_chosen(in[0]);
  }
  return 1;
}

void Client::security_chosen(uint8_t type) {
  Output out;
  if (type == kSecurityNone) {
    if (minor_version_ >= 8) out.u32(0);
    phase_ = Phase::Init;
  } else {
    if (::getrandom(challenge_.data(), challenge_.size(), 0) != static_cast<ssize_t>(challenge_.size())) {
      return end();
    }
    out.bytes(challenge_);
    phase_ = Phase::Proof;
  }
  connection_->send(out.view());
}

// SecurityResult with a reason, which clients before 3.8 do not understand.
void Client::refuse(std::string_view reason) {
  Output out;
  out.u32(1);
  if (minor_version_ >= 8) {
    out.u32(reason.size());
    out.text(reason);
  }
  connection_->send(out.view());
  say_goodbye();
}

size_t Client::take_proof(std::span<const uint8_t> in) {
  if (in.size() < kChallengeSize) return 0;
  const std::optional<std::string> password = server_.password();
  const auto expected = vnc_auth_answer(challenge_, password.value_or(""));
  if (!password || !equal_in_constant_time(expected, in.first(kChallengeSize))) {
    refuse("Authentication failed");
    return kChallengeSize;
  }
  Output out;
  out.u32(0);
  connection_->send(out.view());
  phase_ = Phase::Init;
  return kChallengeSize;
}

size_t Client::take_init(std::span<const uint8_t> in) {
  shared_ = in[0] != 0;
  if (!server_.admit(*this)) {
    end();
    return 1;
  }
  const Surface& surface = server_.screen().surface();
  width_ = surface.width();
  height_ = surface.height();
  Output out;
  out.u16(width_);
  out.u16(height_);
  settings_.format.write(out);
  const std::string& name = server_.desktop_name();
  out.u32(name.size());
  out.text(name);
  connection_->send(out.view());
  if (phase_ != Phase::Init) return 1;
  timer_->cancel();
  phase_ = Phase::Ready;
  dirty_.resize(width_, height_);
  server_.client_ready(*this);
  return 1;
}

}  // namespace rhea::display::vnc
