// Looking at memory and ports, and saving memory to files.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/failf.h"
#include "cpu/paging.h"
#include "memory/address_space.h"
#include "monitor/disassemble.h"
#include "monitor/guest_memory.h"
#include "monitor/monitor.h"

namespace rhea::monitor {

namespace {

constexpr uint64_t kChunk = uint64_t{1} << 20;

std::string character(uint64_t value) {
  switch (value) {
    case '\'': return "'\\''";
    case '\\': return "'\\\\'";
    case '\n': return "'\\n'";
    case '\r': return "'\\r'";
    default:
      return value >= 32 && value <= 126 ? fmt::format("'{:c}'", static_cast<char>(value))
                                         : fmt::format("'\\x{:02x}'", value);
  }
}

std::string one_value(const Format& format, uint64_t value) {
  static constexpr unsigned kDigits[] = {0, 3, 5, 0, 10, 0, 0, 0, 20};
  unsigned bits = format.size * 8;
  switch (format.format) {
    case 'o': return fmt::format(" {:>{}}", value == 0 ? "0" : fmt::format("0{:o}", value), (bits + 2) / 3);
    case 'u': return fmt::format(" {:{}}", value, kDigits[format.size]);
    case 'd': {
      auto wide = static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
      return fmt::format(" {:{}}", wide, kDigits[format.size]);
    }
    case 'c': return " " + character(value);
    default: return fmt::format(" 0x{:0{}x}", value, format.size * 2);
  }
}

std::string code_lines(Call& call, const Format& format, uint64_t address, bool is_virtual) {
  std::string text;
  for (unsigned i = 0; i < format.count; ++i) {
    uint8_t code[15];
    size_t length = sizeof code;
    while (length > 0 && !read_guest(call.vm.vm, call.cpu, is_virtual, address, {code, length})) --length;
    if (length == 0) return text + fmt::format("0x{:08x}: Cannot access memory\n", address);
    Line line = disassemble(call.vm.vm.core(call.cpu).s, address, {code, length});
    std::string bytes;
    for (unsigned b = 0; b < line.bytes; ++b) bytes += fmt::format("{:02x} ", code[b]);
    text += fmt::format("0x{:08x}:  {:<24} {}\n", address, bytes, line.text);
    address += line.bytes;
  }
  return text;
}

Result<Json> examine(Call& call, bool is_virtual) {
  Format format = TRY(parse_format(call.text("fmt"), call.monitor.last_format()));
  auto address = static_cast<uint64_t>(call.number("addr"));
  if (format.format == 'i') return Json(code_lines(call, format, address, is_virtual));
  uint64_t left = uint64_t{format.count} * format.size;
  if (format.format == 'c') format.size = 1;
  std::string text;
  while (left > 0) {
    uint8_t bytes[16];
    size_t n = std::min<uint64_t>(left, sizeof bytes);
    text += fmt::format("{:016x}:", address);
    if (!read_guest(call.vm.vm, call.cpu, is_virtual, address, {bytes, n}))
      return Json(text + " Cannot access memory\n");
    for (size_t at = 0; at < n; at += format.size) {
      uint64_t value = 0;
      for (size_t b = format.size; b-- > 0;) value = value << 8 | bytes[at + b];
      text += one_value(format, value);
    }
    text += '\n';
    address += n;
    left -= n;
  }
  return Json(text);
}

Result<Json> examine_virtual(Call& call) {
  return examine(call, true);
}
Result<Json> examine_physical(Call& call) {
  return examine(call, false);
}

Result<Json> print(Call& call) {
  Format format = TRY(parse_format(call.text("fmt"), call.monitor.last_format()));
  auto value = static_cast<uint64_t>(call.number("val"));
  switch (format.format) {
    case 'o': return Json(value == 0 ? "0\n" : fmt::format("0{:o}\n", value));
    case 'x': return Json(value == 0 ? "0\n" : fmt::format("{:#x}\n", value));
    case 'u': return Json(fmt::format("{}\n", value));
    case 'c': return Json(character(value & 0xffffffff) + "\n");
    default: return Json(fmt::format("{}\n", static_cast<int64_t>(value)));
  }
}

char port_suffix(unsigned size) {
  return size == 1 ? 'b' : size == 2 ? 'w' : 'l';
}

Result<Json> port_in(Call& call) {
  Format format = TRY(parse_format(call.text("fmt"), call.monitor.last_format()));
  unsigned size = std::min(format.size, 4u);
  auto port = static_cast<uint64_t>(call.number("addr")) & 0xffff;
  auto& ports = call.vm.site->ports();
  if (call.has("index")) {
    ports.store(port, 1, static_cast<uint64_t>(call.number("index")) & 0xff);
    port = (port + 1) & 0xffff;
  }
  uint64_t value = ports.load(port, size);
  return Json(fmt::format("port{}[0x{:04x}] = 0x{:0{}x}\n", port_suffix(size), port, value, size * 2));
}

Result<Json> port_out(Call& call) {
  Format format = TRY(parse_format(call.text("fmt"), call.monitor.last_format()));
  unsigned size = std::min(format.size, 4u);
  auto port = static_cast<uint64_t>(call.number("addr")) & 0xffff;
  call.vm.site->ports().store(port, size, static_cast<uint64_t>(call.number("val")));
  return Json();
}

// A piece at a time: neither the vCPUs nor the devices wait for the host's disk.
Result<Json> save(Call& call, bool is_virtual) {
  auto address = static_cast<uint64_t>(call.number("val"));
  int64_t size = call.number("size");
  auto cpu = static_cast<uint64_t>(call.number("cpu-index", call.cpu));
  if (cpu >= call.vm.vm.cpus()) return fail(ErrorKind::Invalid, "Parameter 'cpu-index' expects a CPU number");
  std::string path = call.text("filename");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (!file) return failf(ErrorKind::Io, "Could not open '{}': {}", path, errno_text(errno));
  std::vector<uint8_t> bytes(std::min<uint64_t>(kChunk, size > 0 ? static_cast<uint64_t>(size) : 1));
  for (uint64_t left = size > 0 ? static_cast<uint64_t>(size) : 0, at = address; left > 0;) {
    size_t n = std::min<uint64_t>(left, bytes.size());
    bool good = false;
    auto read = [&] {
      good = read_guest(call.vm.vm, static_cast<unsigned>(cpu), is_virtual, at, {bytes.data(), n});
    };
    if (is_virtual) {
      call.vm.vm.with_vcpus_still(read);
    } else {
      std::scoped_lock hold(call.vm.vm.lock());
      read();
    }
    if (!good) return failf(ErrorKind::Invalid, "Invalid addr 0x{:016x}/size {} specified", address, size);
    if (std::fwrite(bytes.data(), 1, n, file.get()) != n)
      return failf(ErrorKind::Io, "writing memory to '{}' failed", path);
    at += n;
    left -= n;
  }
  if (std::fflush(file.get()) != 0) return failf(ErrorKind::Io, "writing memory to '{}' failed", path);
  return Json();
}

Result<Json> save_virtual(Call& call) {
  return save(call, true);
}
Result<Json> save_physical(Call& call) {
  return save(call, false);
}

Result<Json> gva2gpa(Call& call) {
  uint64_t physical = 0;
  auto address = static_cast<uint64_t>(call.number("addr"));
  if (!cpu::debug_translate(call.vm.vm.core(call.cpu), address, physical)) return Json("Unmapped\n");
  return Json(physical == 0 ? "gpa: 0\n" : fmt::format("gpa: {:#x}\n", physical));
}

Result<Json> gpa2hva(Call& call) {
  auto address = static_cast<uint64_t>(call.number("addr"));
  auto view = call.vm.site->memory().view();
  const memory::FlatRange* range = view->find(address);
  if (range == nullptr) return failf(ErrorKind::Invalid, "No memory is mapped at address 0x{:x}", address);
  if (range->ram == nullptr) return failf(ErrorKind::Invalid, "Memory at address 0x{:x} is not RAM", address);
  const uint8_t* host = range->ram->host() + range->offset + (address - range->start);
  return Json(fmt::format("Host virtual address for 0x{:x} ({}) is {}\n", address, range->ram->name(),
                          fmt::ptr(host)));
}

std::string flat_view(const memory::AddressSpace& space, std::string_view name) {
  std::string text = fmt::format(" AS \"{}\"\n", name);
  for (const memory::FlatRange& range : space.view()->ranges) {
    std::string what = "i/o";
    if (range.ram != nullptr) {
      what = range.ram->name();
    } else if (const auto* device = dynamic_cast<const bus::Device*>(range.io)) {
      what = device->name();
    }
    const char* kind = range.ram == nullptr                          ? "i/o"
                       : range.access == memory::RamAccess::ReadOnly ? "rom"
                                                                     : "ram";
    text += fmt::format("  {:016x}-{:016x} (prio 0, {}): {}", range.start, range.end() - 1, kind, what);
    text += range.offset != 0 ? fmt::format(" @{:016x}\n", range.offset) : "\n";
  }
  return text;
}

// What is visible; regions below others are not kept by name, so -f and without it are the same.
Result<Json> mtree(Call& call) {
  return Json("FlatView #0\n" + flat_view(call.vm.site->memory(), "memory") + "\nFlatView #1\n" +
              flat_view(call.vm.site->ports(), "I/O"));
}

Result<Json> memory_size(Call& call) {
  return Json{{"base-memory", call.vm.ram_bytes}, {"plugged-memory", 0}};
}

std::string show_memory_size(const Json& sizes) {
  return fmt::format("base memory: {}\nplugged memory: {}\n", sizes["base-memory"].get<uint64_t>(),
                     sizes["plugged-memory"].get<uint64_t>());
}

}  // namespace

std::span<const Command> memory_commands() {
  static const std::vector<Parameter> at = {{"fmt", Kind::Format, true}, {"addr", Kind::Integer}};
  static const std::vector<Parameter> save_what = {{"val", Kind::Integer},
                                                   {"size", Kind::Integer},
                                                   {"filename", Kind::Filename},
                                                   {"cpu-index", Kind::Integer, true, 0, Only::Qmp}};
  static const std::vector<Command> rows = {
      {nullptr, "x", "/fmt addr", "virtual memory dump starting at 'addr'", at, examine_virtual, nullptr,
       Access::Still},
      {nullptr, "xp", "/fmt addr", "physical memory dump starting at 'addr'", at, examine_physical},
      {nullptr,
       "print|p",
       "/fmt expr",
       "print expression value (use $reg for CPU register access)",
       {{"fmt", Kind::Format, true}, {"val", Kind::Integer}},
       print},
      {nullptr,
       "i",
       "/fmt addr",
       "I/O port read",
       {{"fmt", Kind::Format, true}, {"addr", Kind::Integer}, {"index", Kind::Integer, true}},
       port_in},
      {nullptr,
       "o",
       "/fmt addr value",
       "I/O port write",
       {{"fmt", Kind::Format, true}, {"addr", Kind::Integer}, {"val", Kind::Integer}},
       port_out},
      {"memsave", "memsave", "addr size file",
       "save to disk virtual memory dump starting at 'addr' of size 'size'", save_what, save_virtual, nullptr,
       Access::Free},
      {"pmemsave",
       "pmemsave",
       "addr size file",
       "save to disk physical memory dump starting at 'addr' of size 'size'",
       {save_what.begin(), save_what.end() - 1},
       save_physical,
       nullptr,
       Access::Free},
      {nullptr,
       "gva2gpa",
       "addr",
       "print the guest physical address corresponding to a guest virtual address",
       {{"addr", Kind::Integer}},
       gva2gpa,
       nullptr,
       Access::Still},
      {nullptr,
       "gpa2hva",
       "addr",
       "print the host virtual address corresponding to a guest physical address",
       {{"addr", Kind::Integer}},
       gpa2hva},
      {nullptr,
       "info mtree",
       "[-f]",
       "show memory tree (-f: dump flat view for address spaces)",
       {{"flatview", Kind::Flag, true, 'f'}},
       mtree},
      {"query-memory-size-summary",
       "info memory_size_summary",
       "",
       "show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes.",
       {},
       memory_size,
       show_memory_size},
  };
  return rows;
}

}  // namespace rhea::monitor
