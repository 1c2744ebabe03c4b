#include "base/sizes.h"

#include <array>
#include <charconv>
#include <optional>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea {
namespace {

constexpr unsigned kMaxFractionDigits = 15;  // 10^15 * 2^60 fits 128 bits

std::optional<uint64_t> unit_of(std::string_view suffix, uint64_t default_unit) {
  if (suffix.empty()) return default_unit;
  if (suffix.size() != 1) return std::nullopt;
  switch (suffix[0]) {
    case 'b':
    case 'B': return 1;
    case 'k':
    case 'K': return kKiB;
    case 'm':
    case 'M': return kMiB;
    case 'g':
    case 'G': return kGiB;
    case 't':
    case 'T': return kTiB;
    case 'p':
    case 'P': return kTiB << 10;
    case 'e':
    case 'E': return kTiB << 20;
    default: return std::nullopt;
  }
}

std::unexpected<Error> not_a_size(std::string_view text) {
  return failf(ErrorKind::Invalid, "'{}' is not a size: a number with an optional suffix k, M, G, T, P or E",
               text);
}

std::unexpected<Error> too_large(std::string_view text) {
  return failf(ErrorKind::OutOfRange, "size '{}' is too large: must be below 2^64 bytes", text);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The digits after the point as a part of `unit`, rounded down; moves `rest` behind them.
uint64_t take_fraction(std::string_view& rest, uint64_t unit) {
  uint64_t numerator = 0;
  uint64_t denominator = 1;
  unsigned digits = 0;
  while (!rest.empty() && is_digit(rest[0])) {
    if (digits < kMaxFractionDigits) {
      numerator = numerator * 10 + static_cast<uint64_t>(rest[0] - '0');
      denominator *= 10;
      ++digits;
    }
    rest.remove_prefix(1);
  }
  __extension__ using uint128 = unsigned __int128;
  return static_cast<uint64_t>(uint128{numerator} * unit / denominator);
}

Result<uint64_t> parse_hexadecimal(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + 2, end, value, 16);
  if (error == std::errc::result_out_of_range) return too_large(text);
  if (error != std::errc{} || stop != end) return not_a_size(text);
  return value;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text, uint64_t default_unit) {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_hexadecimal(text);
  uint64_t whole = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), whole, 10);
  if (error == std::errc::result_out_of_range) return too_large(text);
  if (error != std::errc{}) return not_a_size(text);
  std::string_view rest = text.substr(static_cast<size_t>(stop - text.data()));

  const bool has_fraction = rest.size() > 1 && rest[0] == '.' && is_digit(rest[1]);
  std::string_view suffix = rest;
  if (has_fraction) {
    suffix.remove_prefix(1);
    while (!suffix.empty() && is_digit(suffix[0])) suffix.remove_prefix(1);
  }
  const auto unit = unit_of(suffix, default_unit);
  if (!unit || (has_fraction && *unit == 1)) return not_a_size(text);
  uint64_t fraction = 0;
  if (has_fraction) {
    rest.remove_prefix(1);
    fraction = take_fraction(rest, *unit);
  }
  const auto product = checked_mul(whole, *unit);
  const auto total = product ? checked_add(*product, fraction) : std::nullopt;
  if (!total) return too_large(text);
  return *total;
}

std::string human_size(uint64_t bytes) {
  static constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.3g} {}", value, kUnits[unit]);
}

std::string human_size_exact(uint64_t bytes) {
  return fmt::format("{} ({} bytes)", human_size(bytes), bytes);
}

}  // namespace rhea
