// TLS as a client, with OpenSSL's libssl (Debian's libssl3), which is loaded when the first connection needs
// it, and the certificates for it by name: --object
// tls-creds-x509,id=ID,dir=FOLDER,endpoint=client[,verify-peer=off], where FOLDER has ca-cert.pem and, for
// servers that want them, client-cert.pem and client-key.pem; or a key that both sides know: --object
// tls-creds-psk,id=ID,dir=FOLDER,endpoint=client[,username=NAME], where FOLDER has keys.psk with lines of
// NAME:HEX DIGITS. Missing: revocation lists, encrypted keys, anonymous sessions, choosing ciphers
// (priority=).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/key_values.h"

namespace rhea::block {

// The properties of the object but its type and its id. The main thread adds all before connections are
// opened.
Result<> add_tls_credentials(const std::string& id, config::KeyValues properties);
// The same of a tls-creds-psk.
Result<> add_tls_shared_key(const std::string& id, config::KeyValues properties);

// One connection's sessions state: bytes in, bytes out; the socket is the caller's. One thread may seal while
// another opens; what seal() gives must be sent in its order.
class TlsSession {
 public:
  using Bytes = std::vector<uint8_t>;

  // `host` is whom the server's certificate must name.
  static Result<std::unique_ptr<TlsSession>> make(const std::string& credentials, const std::string& host);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // What to send next until done(): then, or if there is nothing to send, more has to come.
  Result<Bytes> shake_hands();
  bool done() const { return done_; }

  Result<Bytes> seal(std::span<const uint8_t> plain);
  // What came from the server.
  Result<> feed(std::span<const uint8_t> sealed);
  // How many bytes of it are readable now; 0: more has to come.
  Result<size_t> open(std::span<uint8_t> into);

 private:
  TlsSession() = default;
  Result<> set_up(const std::string& credentials, const std::string& host);
  static unsigned give_shared_key(void* session, const char* hint, char* name, unsigned name_room,
                                  uint8_t* key, unsigned key_room);
  Bytes take_output();

  std::mutex mutex_;
  void* context_ = nullptr;
  void* session_ = nullptr;
  void* in_ = nullptr;   // the session's
  void* out_ = nullptr;  // the session's
  bool done_ = false;
  std::string user_;  // with a shared key
  Bytes shared_key_;
};

}  // namespace rhea::block
