// -smbios: one group a structure type.
#include "tools/system/options/smbios.h"

#include <algorithm>

#include "base/failf.h"
#include "config/schema.h"
#include "machine/firmware/firmware_files.h"
#include "tools/system/uuid.h"

namespace rhea::system {

namespace {

using config::text;
using machine::smbios::Overrides;

constexpr uint64_t kLargestTable = 65535;

struct BiosWords : Overrides::Bios {
  std::optional<std::string> release_text;
};
struct SystemWords : Overrides::System {
  std::optional<std::string> uuid_text;
};
struct OemWords {
  std::vector<std::string> values, paths;
};

const config::Group<BiosWords>& bios_group() {
  using B = BiosWords;
  static const config::Group<B> group{
      "smbios type 0",
      "",
      {text("vendor", static_cast<Overrides::Text B::*>(&B::vendor), "vendor"),
       text("version", static_cast<Overrides::Text B::*>(&B::version), "version"),
       text("date", static_cast<Overrides::Text B::*>(&B::date), "release date"),
       text("release", &B::release_text, "MAJOR.MINOR"),
       config::boolean("uefi", static_cast<bool B::*>(&B::uefi), "UEFI is supported")}};
  return group;
}

const config::Group<SystemWords>& system_group() {
  using S = SystemWords;
  using Text = Overrides::Text S::*;
  static const config::Group<S> group{
      "smbios type 1",
      "",
      {text("manufacturer", static_cast<Text>(&S::manufacturer), "manufacturer"),
       text("product", static_cast<Text>(&S::product), "product name"),
       text("version", static_cast<Text>(&S::version), "version"),
       text("serial", static_cast<Text>(&S::serial), "serial number"), text("uuid", &S::uuid_text, "UUID"),
       text("sku", static_cast<Text>(&S::sku), "SKU number"),
       text("family", static_cast<Text>(&S::family), "family")}};
  return group;
}

const config::Group<Overrides::Board>& board_group() {
  using B = Overrides::Board;
  static const config::Group<B> group{
      "smbios type 2",
      "",
      {text("manufacturer", &B::manufacturer, "manufacturer"), text("product", &B::product, "product name"),
       text("version", &B::version, "version"), text("serial", &B::serial, "serial number"),
       text("asset", &B::asset, "asset tag"), text("location", &B::location, "where in the chassis")}};
  return group;
}

const config::Group<Overrides::Chassis>& chassis_group() {
  using C = Overrides::Chassis;
  static const config::Group<C> group{
      "smbios type 3",
      "",
      {text("manufacturer", &C::manufacturer, "manufacturer"), text("version", &C::version, "version"),
       text("serial", &C::serial, "serial number"), text("asset", &C::asset, "asset tag"),
       text("sku", &C::sku, "SKU number")}};
  return group;
}

const config::Group<OemWords>& oem_group() {
  static const config::Group<OemWords> group{
      "smbios type 11",
      "",
      {config::text_list("value", &OemWords::values, "a string"),
       config::text_list("path", &OemWords::paths, "a file with a string")}};
  return group;
}

Result<> take_bios(const config::KeyValues& values, Overrides& to) {
  BiosWords words;
  if (to.bios) static_cast<Overrides::Bios&>(words) = *to.bios;
  TRY(bios_group().apply(values, words));
  if (words.release_text) {
    const std::string& release = *words.release_text;
    const size_t dot = release.find('.');
    if (dot == std::string::npos) return failf(ErrorKind::Invalid, "Invalid release '{}'", release);
    words.release = {static_cast<uint8_t>(TRY(config::parse_unsigned(release.substr(0, dot), 0, 255))),
                     static_cast<uint8_t>(TRY(config::parse_unsigned(release.substr(dot + 1), 0, 255)))};
  }
  to.bios = words;
  return {};
}

Result<> take_system(const config::KeyValues& values, Overrides& to) {
  SystemWords words;
  static_cast<Overrides::System&>(words) = to.system;
  TRY(system_group().apply(values, words));
  if (words.uuid_text) words.uuid = TRY(parse_uuid(*words.uuid_text));
  to.system = words;
  return {};
}

Result<> take_board(const config::KeyValues& values, Overrides& to) {
  if (!to.board) to.board.emplace();
  return board_group().apply(values, *to.board);
}

Result<> take_oem_strings(const config::KeyValues& values, Overrides& to) {
  OemWords words;
  TRY(oem_group().apply(values, words));
  for (std::string& value : words.values) to.oem_strings.push_back(std::move(value));
  for (const std::string& path : words.paths) {
    const std::vector<uint8_t> data = TRY(machine::read_whole_file(path, kLargestTable));
    if (std::find(data.begin(), data.end(), 0) != data.end())
      return failf(ErrorKind::Invalid, "NUL in OEM strings value in {}", path);
    to.oem_strings.emplace_back(data.begin(), data.end());
  }
  if (to.oem_strings.size() > 255) return fail(ErrorKind::Invalid, "more than 255 strings");
  return {};
}

Result<> take_file(config::KeyValues values, const std::string& path, Overrides& to) {
  if (!values.empty())
    return failf(ErrorKind::Invalid, "Parameter '{}' does not go with 'file'", values[0].key);
  std::vector<uint8_t> table = TRY(machine::read_whole_file(path, kLargestTable));
  TRY_IN(machine::smbios::check_structure(table), path);
  to.tables.push_back(std::move(table));
  return {};
}

}  // namespace

Result<> take_smbios(std::string_view words, Overrides& to) {
  config::KeyValues values = TRY(config::split_options(words, ""));
  if (const auto path = config::take(values, "file")) return take_file(std::move(values), *path, to);
  const auto type = config::take(values, "type");
  if (!type) return fail(ErrorKind::Invalid, "Must specify either 'file' or 'type'");
  const uint64_t number = TRY(config::parse_unsigned(*type, 0, 255));
  switch (number) {
    case 0: return take_bios(values, to);
    case 1: return take_system(values, to);
    case 2: return take_board(values, to);
    case 3: return chassis_group().apply(values, to.chassis);
    case 11: return take_oem_strings(values, to);
    default:
      return failf(ErrorKind::Unsupported, "Don't know how to build fields for SMBIOS type {}", number);
  }
}

}  // namespace rhea::system
