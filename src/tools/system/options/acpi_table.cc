// -acpitable: a table from files, with the header's fields as given. ACPI 6.4, 5.2.6.
#include <algorithm>

#include "base/failf.h"
#include "machine/firmware/firmware_files.h"
#include "tools/system/options/machine.h"

namespace rhea::system {

namespace {

constexpr size_t kHeader = 36;
constexpr uint64_t kLargest = uint64_t{1} << 20;

void put(std::vector<uint8_t>& table, size_t at, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) table[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

// A padded text field.
Result<> put_text(std::vector<uint8_t>& table, size_t at, size_t width, std::string_view key,
                  const std::optional<std::string>& value) {
  if (!value) return {};
  if (value->size() > width) return failf(ErrorKind::Invalid, "'{}' has {} characters at most", key, width);
  std::fill_n(table.begin() + static_cast<ptrdiff_t>(at), width, uint8_t{0});
  std::copy(value->begin(), value->end(), table.begin() + static_cast<ptrdiff_t>(at));
  return {};
}

Result<> append_files(std::vector<uint8_t>& table, std::string_view names) {
  while (!names.empty()) {
    const size_t colon = names.find(':');
    const std::string name(names.substr(0, colon));
    names = colon == std::string_view::npos ? "" : names.substr(colon + 1);
    const std::vector<uint8_t> data = TRY(machine::read_whole_file(name, kLargest));
    table.insert(table.end(), data.begin(), data.end());
    if (table.size() > kLargest) return fail(ErrorKind::Invalid, "the table is larger than 1 MiB");
  }
  return {};
}

}  // namespace

Result<std::vector<uint8_t>> make_acpi_table(const AcpiTableOptions& o) {
  if (o.data.has_value() == o.file.has_value())
    return fail(ErrorKind::Invalid, "'-acpitable' requires one of 'data' or 'file'");
  std::vector<uint8_t> table;
  if (o.data) {
    table.resize(kHeader);
    constexpr std::string_view kDefaults = "RHEA\0\0\0\0\1\0RHEA  RHEATABL\1\0\0\0RHEA\1\0\0\0";
    std::copy(kDefaults.begin(), kDefaults.end(), table.begin());
  }
  TRY(append_files(table, o.data ? *o.data : *o.file));
  if (table.size() < kHeader)
    return failf(ErrorKind::Invalid, "a table has at least {} bytes, these files have {}", kHeader,
                 table.size());
  if (o.sig && o.sig->size() != 4) return fail(ErrorKind::Invalid, "'sig' has four characters");
  TRY(put_text(table, 0, 4, "sig", o.sig));
  put(table, 4, table.size(), 4);
  if (o.rev) put(table, 8, *o.rev, 1);
  put(table, 9, 0, 1);  // checksum: firmware
  TRY(put_text(table, 10, 6, "oem_id", o.oem_id));
  TRY(put_text(table, 16, 8, "oem_table_id", o.oem_table_id));
  if (o.oem_rev) put(table, 24, *o.oem_rev, 4);
  TRY(put_text(table, 28, 4, "asl_compiler_id", o.asl_compiler_id));
  if (o.asl_compiler_rev) put(table, 32, *o.asl_compiler_rev, 4);
  return table;
}

}  // namespace rhea::system
