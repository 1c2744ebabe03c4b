#include "block/protocols/nbd_address.h"

#include <charconv>
#include <optional>

#include "base/failf.h"

namespace rhea::block {
namespace {

std::unexpected<Error> no_url() {
  return fail(ErrorKind::Invalid, "No valid URL specified");
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [stop, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc{} || stop != text.data() + i + 3) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

// "HOST:PORT", "[v6]:PORT"; the rest behind the port, with its colon, is left in `text`.
bool split_host(std::string_view& text, NbdAddress& out, bool needs_port) {
  const bool bracketed = text.starts_with("[");
  const size_t end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && end == std::string_view::npos) return false;
  out.host = std::string(bracketed ? text.substr(1, end - 1) : text.substr(0, end));
  text.remove_prefix(end == std::string_view::npos ? text.size() : bracketed ? end + 1 : end);
  if (!text.starts_with(":")) return text.empty() && !needs_port;
  text.remove_prefix(1);
  const size_t stop = text.find(':');
  out.port = std::string(text.substr(0, stop));
  text.remove_prefix(stop == std::string_view::npos ? text.size() : stop);
  return !out.port.empty();
}

Result<NbdAddress> from_url(std::string_view url) {
  NbdAddress out;
  const size_t scheme = url.find("://");
  const bool is_unix = url.substr(0, scheme) == "nbd+unix";
  std::string_view rest = url.substr(scheme + 3);
  std::string_view query;
  if (const size_t mark = rest.find('?'); mark != std::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  const auto name = percent_decoded(slash == std::string_view::npos ? "" : rest.substr(slash + 1));
  if (!name) return no_url();
  out.export_name = *name;
  if (is_unix) {
    const auto path = query.starts_with("socket=") ? percent_decoded(query.substr(7)) : std::nullopt;
    if (!authority.empty() || !path || path->empty() || query.find('&') != std::string_view::npos)
      return no_url();
    out.path = *path;
    return out;
  }
  if (!query.empty() || authority.empty() || authority.find('@') != std::string_view::npos) return no_url();
  if (!split_host(authority, out, false) || !authority.empty() || out.host.empty()) return no_url();
  return out;
}

Result<NbdAddress> from_old_name(std::string_view name) {
  NbdAddress out;
  if (!name.starts_with("nbd:")) return no_url();
  std::string_view rest = name.substr(4);
  if (rest.empty()) return fail(ErrorKind::Invalid, "NBD server address missing");
  if (const size_t at = rest.find(":exportname="); at != std::string_view::npos) {
    out.export_name = std::string(rest.substr(at + 12));
    rest = rest.substr(0, at);
  }
  if (rest.starts_with("unix:")) {
    out.path = std::string(rest.substr(5));
    return out;
  }
  const std::string whole(rest);
  if (!split_host(rest, out, true) || !rest.empty())
    return failf(ErrorKind::Invalid, "error parsing address '{}'", whole);
  return out;
}

}  // namespace

std::string NbdAddress::shown() const {
  if (!path.empty())
    return export_name.empty() ? fmt::format("nbd+unix://?socket={}", path)
                               : fmt::format("nbd+unix:///{}?socket={}", export_name, path);
  const std::string where = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return fmt::format("nbd://{}:{}{}{}", where, port, export_name.empty() ? "" : "/", export_name);
}

Result<NbdAddress> nbd_address(const std::string& filename, config::KeyValues& options) {
  NbdAddress out;
  if (!filename.empty())
    out = TRY(filename.find("://") != std::string::npos ? from_url(filename) : from_old_name(filename));
  const auto type = config::take(options, "server.type");
  if (type && *type != "inet" && *type != "unix")
    return failf(ErrorKind::Unsupported, "Parameter 'type' does not accept value '{}'", *type);
  for (const char* prefix : {"", "server."}) {
    if (const auto value = config::take(options, std::string(prefix) + "path")) out.path = *value;
    if (const auto value = config::take(options, std::string(prefix) + "host")) out.host = *value;
    if (const auto value = config::take(options, std::string(prefix) + "port")) out.port = *value;
  }
  if (const auto value = config::take(options, "export")) out.export_name = *value;
  if (out.path.empty() && out.host.empty()) return fail(ErrorKind::Invalid, "NBD server address missing");
  if (!out.path.empty() && !out.host.empty())
    return fail(ErrorKind::Invalid, "path and host may not be used at the same time");
  if (out.export_name.size() > 4096)
    return fail(ErrorKind::Invalid, "export name too long to send to server");
  return out;
}

}  // namespace rhea::block
