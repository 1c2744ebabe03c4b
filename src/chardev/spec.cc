#include "chardev/spec.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/failf.h"

namespace rhea::chardev {

namespace {

using Spec = ChardevSpec;
using config::Property;

std::vector<Property> common() {
  return {
      config::text("backend", &Spec::backend, "what it is"),
      config::text("id", &Spec::id, "name"),
      config::boolean("mux", &Spec::mux, "shared by up to four devices, Ctrl-A c switches"),
      config::text("logfile", &Spec::logfile, "a file for all output, too"),
      config::boolean("logappend", &Spec::logappend, "the log file is appended to"),
  };
}

std::vector<Property> internet() {
  return {
      config::text("host", &Spec::host, "name or address"),
      config::text("port", &Spec::port, "number or service"),
      config::boolean("ipv4", &Spec::ipv4, "IPv4 addresses"),
      config::boolean("ipv6", &Spec::ipv6, "IPv6 addresses"),
  };
}

std::vector<Property> socket_keys() {
  std::vector<Property> keys = internet();
  std::vector<Property> more = {
      config::text("path", &Spec::path, "of a UNIX socket"),
      config::boolean("abstract", &Spec::abstract, "the path is an abstract name"),
      config::boolean("tight", &Spec::tight, "abstract: the name is no longer than its text (only on)"),
      config::integer("fd", &Spec::fd, 0, 65535, "a socket that is open already"),
      config::integer("to", &Spec::to, 0, 65535, "server: the last port to try"),
      config::boolean("server", &Spec::server, "listen for a client"),
      config::boolean("wait", &Spec::wait, "server: wait for the first client"),
      config::boolean("telnet", &Spec::telnet, "the client speaks TELNET"),
      config::boolean("nodelay", &Spec::nodelay, "send at once"),
      config::integer("reconnect", &Spec::reconnect, 0, 86400, "client: seconds until it tries again"),
  };
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

std::vector<Property> udp_keys() {
  std::vector<Property> keys = internet();
  keys.push_back(config::text("localaddr", &Spec::localaddr, "own address"));
  keys.push_back(config::text("localport", &Spec::localport, "own port"));
  return keys;
}

std::vector<Property> vc_keys() {
  return {
      config::integer("width", &Spec::width, 1, 16384, "pixels"),
      config::integer("height", &Spec::height, 1, 16384, "pixels"),
      config::integer("cols", &Spec::cols, 1, 2048, "characters in a line"),
      config::integer("rows", &Spec::rows, 1, 1024, "lines"),
  };
}

config::Group<Spec> make_group(const std::string& name, const std::vector<Property>& own) {
  std::vector<Property> keys = common();
  keys.insert(keys.end(), own.begin(), own.end());
  return {name, "backend", std::move(keys)};
}

const std::map<std::string, config::Group<Spec>>& groups() {
  static const std::map<std::string, config::Group<Spec>> all = [] {
    std::map<std::string, config::Group<Spec>> to;
    auto add = [&to](const std::string& name, const std::vector<Property>& own) {
      to.emplace(name, make_group(name, own));
    };
    Property path = config::text("path", &Spec::path, "of the file");
    add("null", {});
    add("stdio",
        {config::boolean("signal", &Spec::signal, "Ctrl-C ends the emulator (off with -nographic)")});
    add("pty", {});
    add("file", {path, config::boolean("append", &Spec::append, "the file is appended to")});
    add("pipe", {path});
    add("ringbuf", {config::size("size", &Spec::size, 1, 1, 1 << 30, "bytes, a power of two")});
    add("memory", {config::size("size", &Spec::size, 1, 1, 1 << 30, "bytes, a power of two")});
    add("socket", socket_keys());
    add("udp", udp_keys());
    add("vc", vc_keys());
    return to;
  }();
  return all;
}

bool is_identifier(std::string_view id) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !id.empty() && letter(id[0]) && std::ranges::all_of(id, [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

Result<> check_socket(const Spec& spec) {
  int places =
      (spec.path.empty() ? 0 : 1) + (spec.fd ? 1 : 0) + (spec.host.empty() && spec.port.empty() ? 0 : 1);
  if (places != 1) return fail(ErrorKind::Invalid, "None or one of 'path', 'fd' or 'host' option required.");
  if (!spec.host.empty() && spec.port.empty())
    return fail(ErrorKind::Invalid, "chardev: socket: no port given");
  if (spec.wait && !spec.server)
    return fail(ErrorKind::Invalid, "'wait' option is incompatible with socket in client connect mode");
  if (spec.reconnect && spec.server)
    return fail(ErrorKind::Invalid, "'reconnect' option is incompatible with socket in server listen mode");
  if (spec.reconnect && spec.fd)
    return fail(ErrorKind::Invalid, "'reconnect' option is incompatible with 'fd'");
  if (spec.tight == false)
    return fail(ErrorKind::Unsupported, "'tight=off' is not supported: names are as long as their text");
  if ((spec.abstract || spec.tight) && spec.path.empty())
    return fail(ErrorKind::Invalid, "'abstract' and 'tight' are for UNIX sockets");
  return {};
}

Result<> check(const Spec& spec) {
  const std::string& backend = spec.backend;
  if ((backend == "file" || backend == "pipe") && spec.path.empty()) {
    return failf(ErrorKind::Invalid, "chardev: {}: no {} given", backend,
                 backend == "file" ? "filename" : "device path");
  }
  if ((backend == "ringbuf" || backend == "memory") && (spec.size & (spec.size - 1)) != 0)
    return fail(ErrorKind::Invalid, "size of ringbuf chardev must be power of two");
  if (backend == "udp" && spec.port.empty())
    return fail(ErrorKind::Invalid, "chardev: udp: remote port not specified");
  if (backend == "socket") TRY(check_socket(spec));
  if (spec.logappend && spec.logfile.empty()) return fail(ErrorKind::Invalid, "'logappend' needs 'logfile'");
  return {};
}

Result<Spec> apply(config::KeyValues values, bool with_id) {
  auto backend = config::take(values, "backend");
  if (with_id) {
    auto id = std::ranges::find(values, "id", &config::KeyValue::key);
    if (id == values.end() || !id->value) return fail(ErrorKind::Invalid, "chardev: no id specified");
    if (!is_identifier(*id->value))
      return failf(ErrorKind::Invalid,
                   "Parameter 'id' expects an identifier; identifiers consist of letters, digits, '-', '.', "
                   "'_', starting with a letter.");
  }
  if (!backend) return fail(ErrorKind::Invalid, "chardev: missing backend");
  auto group = groups().find(*backend);
  if (group == groups().end())
    return failf(ErrorKind::Invalid, "'{}' is not a valid char driver name", *backend);
  Spec spec;
  TRY(group->second.apply(values, spec));
  spec.backend = *backend;
  TRY(check(spec));
  return spec;
}

// "host:port", "[v6]:port", ":port".
Result<> split_place(std::string_view text, config::KeyValues& to, const char* host_key,
                     const char* port_key) {
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) {
    return failf(ErrorKind::Invalid, "'{}' is not HOST:PORT", text);
  }
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  unsigned number = 0;
  auto end = std::from_chars(port.data(), port.data() + port.size(), number).ptr;
  bool digits = end == port.data() + port.size();
  if ((digits && number > 65535) || (!digits && port.find_first_not_of("0123456789") == port.npos)) {
    return failf(ErrorKind::Invalid, "'{}' is not a port number", port);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!host.empty()) to.push_back({host_key, std::string(host)});
  to.push_back({port_key, std::string(port)});
  return {};
}

// "[HOST]:PORT[@[LOCAL]:LOCALPORT]"
Result<Spec> udp_words(std::string_view rest) {
  config::KeyValues values{{"backend", "udp"}};
  auto at = rest.find('@');
  TRY(split_place(rest.substr(0, at), values, "host", "port"));
  if (at != std::string_view::npos) TRY(split_place(rest.substr(at + 1), values, "localaddr", "localport"));
  return apply(std::move(values), false);
}

Result<Spec> socket_words(std::string_view kind, std::string_view rest) {
  config::KeyValues given = TRY(config::split_options(rest, "address"));
  auto address = config::take(given, "address");
  config::KeyValues values{{"backend", "socket"}};
  if (kind == "unix") {
    if (!address || address->empty()) return fail(ErrorKind::Invalid, "'unix:' needs a path");
    values.push_back({"path", *address});
  } else {
    TRY(split_place(address.value_or(""), values, "host", "port"));
    if (kind == "telnet") values.push_back({"telnet", "on"});
  }
  values.insert(values.end(), given.begin(), given.end());
  return apply(std::move(values), false);
}

// "vc", "vc:640x480" (pixels), "vc:80Cx24C" (characters).
Result<Spec> vc_words(std::string_view size) {
  Spec spec{.backend = "vc", .id = ""};
  if (size.empty()) return spec;
  auto number = [&size]() -> std::optional<unsigned> {
    unsigned value = 0;
    auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), value);
    if (error != std::errc{} || value == 0 || value > 16384) return std::nullopt;
    size.remove_prefix(static_cast<size_t>(end - size.data()));
    return value;
  };
  auto skip = [&size](char c) {
    bool there = size.starts_with(c);
    if (there) size.remove_prefix(1);
    return there;
  };
  std::string whole(size);
  auto first = number();
  bool characters = skip('C');
  bool good = first && skip('x');
  auto second = number();
  good = good && second && skip('C') == characters && size.empty();
  if (!good) return failf(ErrorKind::Invalid, "'{}' is not WIDTHxHEIGHT or COLUMNSCxROWSC", whole);
  (characters ? spec.cols : spec.width) = first;
  (characters ? spec.rows : spec.height) = second;
  return spec;
}

}  // namespace

Result<ChardevSpec> parse_chardev(config::KeyValues values) {
  return apply(std::move(values), true);
}

Result<ChardevSpec> parse_words(std::string_view words) {
  std::string_view whole = words;
  if (words.starts_with("mon:")) {
    Spec spec = TRY(parse_words(words.substr(4)));
    spec.mux = true;
    return spec;
  }
  auto colon = words.find(':');
  std::string_view kind = words.substr(0, colon);
  std::string_view rest = colon == std::string_view::npos ? "" : words.substr(colon + 1);
  if (kind == "vc") return vc_words(rest);
  if (colon == std::string_view::npos && (kind == "null" || kind == "stdio" || kind == "pty"))
    return Spec{.backend = std::string(kind), .id = ""};
  if (colon != std::string_view::npos) {
    if (kind == "file" || kind == "pipe")
      return apply({{"backend", std::string(kind)}, {"path", std::string(rest)}}, false);
    if (kind == "tcp" || kind == "telnet" || kind == "unix") return socket_words(kind, rest);
    if (kind == "udp") return udp_words(rest);
  }
  return failf(ErrorKind::Invalid,
               "'{}' is not a valid char driver; accepted: none, null, vc, stdio, pty, file:PATH, pipe:PATH, "
               "tcp:HOST:PORT, telnet:HOST:PORT, unix:PATH, udp:HOST:PORT, chardev:ID",
               whole);
}

Result<SocketChardev::Options> socket_options(const ChardevSpec& spec) {
  SocketChardev::Options options;
  options.address = {spec.host, spec.port, spec.path, spec.abstract, spec.ipv4, spec.ipv6, spec.to};
  if (spec.fd) options.fd = static_cast<int>(*spec.fd);
  options.server = spec.server;
  options.wait = spec.wait.value_or(true);
  options.no_delay = spec.nodelay;
  options.telnet = spec.telnet;
  options.reconnect_s = spec.reconnect.value_or(0);
  return options;
}

std::string chardev_backends_help() {
  std::string text = "Available chardev backend types: \n";
  for (const auto& [name, group] : groups()) text += "  " + name + "\n";
  return text;
}

Result<std::string> chardev_help(const std::string& backend) {
  auto group = groups().find(backend);
  if (group == groups().end())
    return failf(ErrorKind::Invalid, "'{}' is not a valid char driver name", backend);
  return group->second.help();
}

}  // namespace rhea::chardev
