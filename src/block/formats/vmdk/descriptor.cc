#include "block/formats/vmdk/descriptor.h"

#include <charconv>
#include <optional>

#include "base/failf.h"

namespace rhea::block::vmdk {
namespace {

constexpr std::string_view kFirstLine = "# Disk DescriptorFile";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

template <class T>
std::optional<T> number(std::string_view text, int base) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// The next word of `rest`, or the text in quotes.
std::string_view next_word(std::string_view& rest) {
  rest = trimmed(rest);
  size_t end = rest.find_first_of(" \t");
  if (rest.starts_with('"')) {
    end = rest.find('"', 1);
    if (end != std::string_view::npos) ++end;
  }
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(word.size());
  return unquoted(word);
}

Result<ExtentLine> parse_extent(std::string_view line) {
  std::string_view rest = line;
  ExtentLine out;
  out.access = next_word(rest);
  const auto sectors = number<uint64_t>(next_word(rest), 10);
  out.type = next_word(rest);
  out.file = next_word(rest);
  const std::string_view offset = next_word(rest);
  const auto offset_number = offset.empty() ? std::optional<uint64_t>(0) : number<uint64_t>(offset, 10);
  const bool needs_file = out.type != "ZERO";
  if (!sectors || *sectors > (uint64_t{1} << 53) || out.type.empty() || (needs_file && out.file.empty()) ||
      !offset_number || *offset_number > (uint64_t{1} << 53))
    return failf(ErrorKind::Invalid, "Invalid extent line: {}", line.substr(0, 200));
  out.sectors = *sectors;
  out.offset = *offset_number;
  return out;
}

bool is_extent(std::string_view line) {
  return line.starts_with("RW ") || line.starts_with("RDONLY ") || line.starts_with("NOACCESS ");
}

Result<> parse_setting(std::string_view line, Descriptor& out) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return {};
  const std::string_view key = trimmed(line.substr(0, equals));
  const std::string_view value = unquoted(trimmed(line.substr(equals + 1)));
  if (key == "CID" || key == "parentCID") {
    const auto id = number<uint32_t>(value, 16);
    if (!id) return failf(ErrorKind::Invalid, "invalid {}: '{}'", key, value.substr(0, 40));
    (key == "CID" ? out.content_id : out.parent_content_id) = *id;
  } else if (key == "createType") {
    out.create_type = value;
  } else if (key == "parentFileNameHint") {
    out.parent_file = value;
  }
  return {};
}

// Where the value of "CID=" is in the text.
std::optional<std::pair<size_t, size_t>> content_id_place(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    if (text.substr(at).starts_with("CID=")) return std::pair(at + 4, end);
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

bool is_descriptor(std::string_view text) {
  // Blank lines and other comments may stand before the first line.
  while (!text.empty()) {
    if (text.starts_with(kFirstLine)) return true;
    if (text.front() != '#' && text.front() != '\n' && text.front() != '\r' && text.front() != ' ')
      return false;
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  return false;
}

Result<Descriptor> parse_descriptor(std::string_view text) {
  if (!is_descriptor(text)) return fail(ErrorKind::Invalid, "invalid VMDK image descriptor");
  if (const size_t end = text.find('\0'); end != std::string_view::npos) text = text.substr(0, end);
  Descriptor out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.starts_with('#') || line.starts_with("ddb.")) continue;
    if (is_extent(line)) {
      out.extents.push_back(TRY(parse_extent(line)));
    } else {
      TRY(parse_setting(line, out));
    }
  }
  if (out.create_type.empty()) return fail(ErrorKind::Invalid, "invalid VMDK image descriptor");
  return out;
}

std::string with_content_id(std::string_view text, uint32_t id) {
  const auto place = content_id_place(text);
  if (!place) return {};
  return fmt::format("{}{:08x}{}", text.substr(0, place->first), id, text.substr(place->second));
}

std::string descriptor_text(const Descriptor& descriptor, const DiskData& disk) {
  constexpr unsigned kTrackSectors = 63;
  const unsigned heads = disk.adapter_type == "ide" ? 16 : 255;
  std::string out =
      fmt::format("{}\nversion=1\nCID={:08x}\nparentCID={:08x}\ncreateType=\"{}\"\n", kFirstLine,
                  descriptor.content_id, descriptor.parent_content_id, descriptor.create_type);
  if (!descriptor.parent_file.empty())
    out += fmt::format("parentFileNameHint=\"{}\"\n", descriptor.parent_file);
  out += "\n# Extent description\n";
  for (const ExtentLine& extent : descriptor.extents) {
    out += fmt::format("{} {} {} \"{}\"", extent.access, extent.sectors, extent.type, extent.file);
    out += extent.type == "FLAT" ? fmt::format(" {}\n", extent.offset) : "\n";
  }
  out += fmt::format(
      "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"{}\"\nddb.geometry.cylinders = \"{}\"\n"
      "ddb.geometry.heads = \"{}\"\nddb.geometry.sectors = \"{}\"\nddb.adapterType = \"{}\"\n"
      "ddb.toolsVersion = \"{}\"\n",
      disk.hardware_version, disk.sectors / (uint64_t{heads} * kTrackSectors), heads, kTrackSectors,
      disk.adapter_type, disk.tools_version);
  return out;
}

}  // namespace rhea::block::vmdk
