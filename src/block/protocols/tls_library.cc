#include "block/protocols/tls_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>
#include <map>

#include "base/failf.h"

namespace rhea::block {
namespace {

// By the numbers of openssl/ssl.h that are part of the library's binary interface.
constexpr int kPem = 1;
constexpr int kVerifyNone = 0;
constexpr int kVerifyPeer = 1;
constexpr int kWantRead = 2;
constexpr int kZeroReturn = 6;
constexpr int kCtrlHostName = 55;
constexpr int kCtrlMinVersion = 123;
constexpr long kTls12 = 0x0303;

struct Functions {
  const void* (*method)();
  void* (*context_new)(const void*);
  void (*context_free)(void*);
  int (*load_authority)(void*, const char* file, const char* folder);
  int (*use_certificate)(void*, const char* file);
  int (*use_key)(void*, const char* file, int type);
  int (*check_key)(const void*);
  void (*set_verify)(void*, int mode, void* callback);
  long (*context_control)(void*, int, long, void*);
  void* (*session_new)(void*);
  void (*session_free)(void*);
  void (*set_buffers)(void*, void* in, void* out);
  int (*set_host)(void*, const char*);
  long (*control)(void*, int, long, void*);
  int (*connect)(void*);
  int (*read)(void*, void*, int);
  int (*write)(void*, const void*, int);
  int (*error_of)(const void*, int);
  long (*verify_result)(const void*);
  const char* (*verify_text)(long);
  const void* (*buffer_in_memory)();
  void* (*buffer_new)(const void*);
  int (*buffer_read)(void*, void*, int);
  int (*buffer_write)(void*, const void*, int);
  size_t (*buffer_pending)(void*);
  unsigned long (*next_error)();
  void (*error_text)(unsigned long, char*, size_t);
  int (*set_data)(void*, int index, void*);
  void* (*data)(const void*, int index);
  void (*set_shared_key)(void*, unsigned (*)(void*, const char*, char*, unsigned, uint8_t*, unsigned));
};

template <class F>
bool find(void* library, const char* name, F& function) {
  // SAFETY: dlsym's way to give a function; the prototype is the library's documented one.
  function = reinterpret_cast<F>(::dlsym(library, name));
  return function != nullptr;
}

Result<Functions> load() {
  void* library = ::dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return failf(ErrorKind::Unsupported, "TLS needs libssl (package libssl3): {}", ::dlerror());
  Functions f{};
  const bool complete =
      find(library, "TLS_client_method", f.method) && find(library, "SSL_CTX_new", f.context_new) &&
      find(library, "SSL_CTX_free", f.context_free) &&
      find(library, "SSL_CTX_load_verify_locations", f.load_authority) &&
      find(library, "SSL_CTX_use_certificate_chain_file", f.use_certificate) &&
      find(library, "SSL_CTX_use_PrivateKey_file", f.use_key) &&
      find(library, "SSL_CTX_check_private_key", f.check_key) &&
      find(library, "SSL_CTX_set_verify", f.set_verify) && find(library, "SSL_CTX_ctrl", f.context_control) &&
      find(library, "SSL_new", f.session_new) && find(library, "SSL_free", f.session_free) &&
      find(library, "SSL_set_bio", f.set_buffers) && find(library, "SSL_set1_host", f.set_host) &&
      find(library, "SSL_ctrl", f.control) && find(library, "SSL_connect", f.connect) &&
      find(library, "SSL_set_ex_data", f.set_data) && find(library, "SSL_get_ex_data", f.data) &&
      find(library, "SSL_set_psk_client_callback", f.set_shared_key) && find(library, "SSL_read", f.read) &&
      find(library, "SSL_write", f.write) && find(library, "SSL_get_error", f.error_of) &&
      find(library, "SSL_get_verify_result", f.verify_result) &&
      // The rest is libcrypto's, on which libssl depends.
      find(library, "BIO_s_mem", f.buffer_in_memory) && find(library, "BIO_new", f.buffer_new) &&
      find(library, "BIO_read", f.buffer_read) && find(library, "BIO_write", f.buffer_write) &&
      find(library, "BIO_ctrl_pending", f.buffer_pending) &&
      find(library, "X509_verify_cert_error_string", f.verify_text) &&
      find(library, "ERR_get_error", f.next_error) && find(library, "ERR_error_string_n", f.error_text);
  if (!complete) return fail(ErrorKind::Unsupported, "libssl.so.3 lacks a function that is needed");
  return f;
}

Result<const Functions*> functions() {
  static const Result<Functions> loaded = load();
  if (!loaded) return std::unexpected(loaded.error());
  return &*loaded;
}

std::string last_error(const Functions& f) {
  std::array<char, 256> text{};
  const unsigned long number = f.next_error();
  while (f.next_error() != 0) {
  }
  if (number == 0) return "the connection broke";
  f.error_text(number, text.data(), text.size());
  return text.data();
}

struct Credentials {
  std::string folder;
  bool verify = true;
  std::string user;  // of a shared key; empty: certificates
};

std::map<std::string, Credentials>& all_credentials() {
  static std::map<std::string, Credentials> all;
  return all;
}

bool is_there(const std::string& file) {
  return ::access(file.c_str(), F_OK) == 0;
}

Result<> load_certificates(const Functions& f, void* context, const Credentials& from) {
  const std::string authority = from.folder + "/ca-cert.pem";
  const std::string certificate = from.folder + "/client-cert.pem";
  const std::string key = from.folder + "/client-key.pem";
  if (!is_there(authority))
    return failf(ErrorKind::NotFound, "Unable to access credentials {}: {}", authority, errno_text(errno));
  if (is_there(from.folder + "/ca-crl.pem"))
    return failf(ErrorKind::Unsupported, "{}/ca-crl.pem: revocation lists are not supported", from.folder);
  if (f.load_authority(context, authority.c_str(), nullptr) != 1)
    return failf(ErrorKind::Invalid, "Unable to load CA certificate {}: {}", authority, last_error(f));
  if (!is_there(certificate) && !is_there(key)) return {};
  if (f.use_certificate(context, certificate.c_str()) != 1 || f.use_key(context, key.c_str(), kPem) != 1 ||
      f.check_key(context) != 1)
    return failf(ErrorKind::Invalid, "Unable to load certificate {} and key {}: {}", certificate, key,
                 last_error(f));
  return {};
}

// The line NAME:HEX DIGITS of the file.
Result<std::vector<uint8_t>> shared_key(const Credentials& from) {
  const std::string name = from.folder + "/keys.psk";
  std::ifstream file(name);
  if (!file)
    return failf(ErrorKind::NotFound, "Unable to access credentials {}: {}", name, errno_text(errno));
  const auto digit = [](char c) {
    const auto at = std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(c)));
    return at == std::string_view::npos ? 16u : static_cast<unsigned>(at);
  };
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(from.user + ":")) continue;
    const std::string_view hex = std::string_view(line).substr(from.user.size() + 1);
    std::vector<uint8_t> out;
    for (size_t i = 0; i + 1 < hex.size() && digit(hex[i]) < 16 && digit(hex[i + 1]) < 16; i += 2)
      out.push_back(static_cast<uint8_t>(digit(hex[i]) * 16 + digit(hex[i + 1])));
    if (out.empty() || out.size() * 2 != hex.size())
      return failf(ErrorKind::Invalid, "{}: the key of '{}' is not hexadecimal", name, from.user);
    return out;
  }
  return failf(ErrorKind::NotFound, "{}: no key of '{}'", name, from.user);
}

}  // namespace

Result<> add_tls_shared_key(const std::string& id, config::KeyValues properties) {
  const auto folder = config::take(properties, "dir");
  const std::string endpoint = config::take(properties, "endpoint").value_or("client");
  const std::string user = config::take(properties, "username").value_or("qemu");
  if (!properties.empty())
    return failf(ErrorKind::Invalid, "tls-creds-psk: Parameter '{}' is unexpected", properties.front().key);
  if (!folder) return fail(ErrorKind::Invalid, "tls-creds-psk: Missing 'dir' property value");
  if (endpoint != "client")
    return failf(ErrorKind::Unsupported, "tls-creds-psk: endpoint={}: only 'client' is of use here",
                 endpoint);
  if (user.empty() || user.size() > 128)
    return fail(ErrorKind::Invalid, "tls-creds-psk: username= expects 1 to 128 characters");
  all_credentials()[id] = {.folder = *folder, .verify = false, .user = user};
  return {};
}

Result<> add_tls_credentials(const std::string& id, config::KeyValues properties) {
  const auto folder = config::take(properties, "dir");
  const std::string endpoint = config::take(properties, "endpoint").value_or("client");
  const std::string verify = config::take(properties, "verify-peer").value_or("on");
  if (!properties.empty())
    return failf(ErrorKind::Invalid, "tls-creds-x509: Parameter '{}' is unexpected", properties.front().key);
  if (!folder) return fail(ErrorKind::Invalid, "tls-creds-x509: Missing 'dir' property value");
  if (endpoint != "client")
    return failf(ErrorKind::Unsupported, "tls-creds-x509: endpoint={}: only 'client' is of use here",
                 endpoint);
  if (verify != "on" && verify != "off" && verify != "yes" && verify != "no")
    return failf(ErrorKind::Invalid, "Parameter 'verify-peer' expects 'on' or 'off', not '{}'", verify);
  all_credentials()[id] = {.folder = *folder, .verify = verify == "on" || verify == "yes", .user = ""};
  return {};
}

Result<std::unique_ptr<TlsSession>> TlsSession::make(const std::string& credentials,
                                                     const std::string& host) {
  std::unique_ptr<TlsSession> out(new TlsSession);
  TRY(out->set_up(credentials, host));
  return out;
}

Result<> TlsSession::set_up(const std::string& credentials, const std::string& host) {
  const auto found = all_credentials().find(credentials);
  if (found == all_credentials().end())
    return failf(ErrorKind::NotFound, "No TLS credentials with id '{}'", credentials);
  const bool verify = found->second.verify;
  if (verify && host.empty())
    return fail(ErrorKind::Invalid, "No hostname for certificate validation (tls-hostname=NAME gives one)");
  const Functions& f = *TRY(functions());
  context_ = f.context_new(f.method());
  if (context_ == nullptr) return fail(ErrorKind::Io, "libssl: " + last_error(f));
  user_ = found->second.user;
  if (user_.empty()) {
    TRY(load_certificates(f, context_, found->second));
  } else {
    shared_key_ = TRY(shared_key(found->second));
  }
  // With a shared key no certificate will do: there is none that would be trusted.
  f.set_verify(context_, verify || !user_.empty() ? kVerifyPeer : kVerifyNone, nullptr);
  f.context_control(context_, kCtrlMinVersion, kTls12, nullptr);
  session_ = f.session_new(context_);
  in_ = f.buffer_new(f.buffer_in_memory());
  out_ = f.buffer_new(f.buffer_in_memory());
  if (session_ == nullptr || in_ == nullptr || out_ == nullptr)
    return fail(ErrorKind::Io, "libssl: " + last_error(f));
  f.set_buffers(session_, in_, out_);
  if (!user_.empty()) {
    if (f.set_data(session_, 0, this) != 1) return fail(ErrorKind::Io, "libssl: " + last_error(f));
    f.set_shared_key(session_, &give_shared_key);
  }
  // The server is told a name, not an address, which ends in a digit or has colons.
  std::string name = host;
  const bool is_name =
      !name.empty() && name.find(':') == std::string::npos && (name.back() < '0' || name.back() > '9');
  if ((verify && f.set_host(session_, name.c_str()) != 1) ||
      (is_name && f.control(session_, kCtrlHostName, 0, name.data()) != 1))
    return fail(ErrorKind::Io, "libssl: " + last_error(f));
  return {};
}

// How many bytes the key has; 0: none for this server.
unsigned TlsSession::give_shared_key(void* session, const char*, char* name, unsigned name_room, uint8_t* key,
                                     unsigned key_room) {
  const auto f = functions();
  if (!f) return 0;
  const auto& self = *static_cast<const TlsSession*>((*f)->data(session, 0));
  if (self.user_.size() + 1 > name_room || self.shared_key_.size() > key_room) return 0;
  std::memcpy(name, self.user_.c_str(), self.user_.size() + 1);
  std::memcpy(key, self.shared_key_.data(), self.shared_key_.size());
  return static_cast<unsigned>(self.shared_key_.size());
}

TlsSession::~TlsSession() {
  const auto f = functions();
  if (!f) return;
  if (session_ != nullptr) (*f)->session_free(session_);
  if (context_ != nullptr) (*f)->context_free(context_);
}

TlsSession::Bytes TlsSession::take_output() {
  const Functions& f = **functions();
  Bytes out(f.buffer_pending(out_));
  const int got = out.empty() ? 0 : f.buffer_read(out_, out.data(), static_cast<int>(out.size()));
  out.resize(static_cast<size_t>(std::max(got, 0)));
  return out;
}

Result<TlsSession::Bytes> TlsSession::shake_hands() {
  const Functions& f = *TRY(functions());
  const std::lock_guard lock(mutex_);
  const int result = f.connect(session_);
  done_ = result == 1;
  if (done_ || f.error_of(session_, result) == kWantRead) return take_output();
  if (const long verified = f.verify_result(session_); verified != 0)
    return failf(ErrorKind::Permission, "TLS handshake failed: The certificate of the server is refused: {}",
                 f.verify_text(verified));
  return failf(ErrorKind::Io, "TLS handshake failed: {}", last_error(f));
}

Result<TlsSession::Bytes> TlsSession::seal(std::span<const uint8_t> plain) {
  const Functions& f = *TRY(functions());
  const std::lock_guard lock(mutex_);
  const int put = f.write(session_, plain.data(), static_cast<int>(plain.size()));
  if (put != static_cast<int>(plain.size())) return fail(ErrorKind::Io, "TLS: " + last_error(f));
  return take_output();
}

Result<> TlsSession::feed(std::span<const uint8_t> sealed) {
  const Functions& f = *TRY(functions());
  const std::lock_guard lock(mutex_);
  const int put = f.buffer_write(in_, sealed.data(), static_cast<int>(sealed.size()));
  return put == static_cast<int>(sealed.size()) ? Result<>() : fail(ErrorKind::Io, "TLS: " + last_error(f));
}

Result<size_t> TlsSession::open(std::span<uint8_t> into) {
  const Functions& f = *TRY(functions());
  const std::lock_guard lock(mutex_);
  const int length = static_cast<int>(std::min<size_t>(into.size(), INT_MAX));
  const int got = f.read(session_, into.data(), length);
  if (got > 0) return static_cast<size_t>(got);
  const int error = f.error_of(session_, got);
  if (error == kWantRead) return 0;
  if (error == kZeroReturn) return fail(ErrorKind::Io, "the server closed the connection");
  return fail(ErrorKind::Io, "TLS: " + last_error(f));
}

}  // namespace rhea::block
