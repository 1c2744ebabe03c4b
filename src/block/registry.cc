// The list of formats. A new one gets its header and one line here.
#include <array>

#include "base/failf.h"
#include "block/driver.h"
#include "block/formats/bochs.h"
#include "block/formats/cloop.h"
#include "block/formats/dmg.h"
#include "block/formats/luks.h"
#include "block/formats/parallels.h"
#include "block/formats/qcow2/qcow2.h"
#include "block/formats/qed.h"
#include "block/formats/raw.h"
#include "block/formats/vdi.h"
#include "block/formats/vhdx/vhdx.h"
#include "block/formats/vmdk/vmdk.h"
#include "block/formats/vpc.h"

namespace rhea::block {

std::span<const FormatDriver* const> formats() {
  static const std::array kFormats = {
      &qcow2_driver(),     &raw_driver(),   &vdi_driver(),   &vpc_driver(), &qed_driver(),  &vmdk_driver(),
      &parallels_driver(), &bochs_driver(), &cloop_driver(), &dmg_driver(), &vhdx_driver(), &luks_driver(),
  };
  return kFormats;
}

const FormatDriver* find_format(std::string_view name) {
  for (const FormatDriver* driver : formats()) {
    if (driver->name() == name) return driver;
  }
  return nullptr;
}

Result<> FormatDriver::create(const CreateRequest&) const {
  return failf(ErrorKind::Unsupported, "Format driver '{}' does not support image creation", name());
}

Result<Measurement> FormatDriver::measure(const MeasureRequest&) const {
  return failf(ErrorKind::Unsupported, "Block driver '{}' does not support size measurement", name());
}

std::optional<Preallocation> parse_preallocation(std::string_view word) {
  if (word == "off") return Preallocation::Off;
  if (word == "metadata") return Preallocation::Metadata;
  if (word == "falloc") return Preallocation::Falloc;
  if (word == "full") return Preallocation::Full;
  return std::nullopt;
}

Result<CacheMode> parse_cache_mode(std::string_view word) {
  if (word == "writeback") return CacheMode::Writeback;
  if (word == "writethrough") return CacheMode::Writethrough;
  if (word == "none" || word == "off") return CacheMode::None;
  if (word == "directsync") return CacheMode::Directsync;
  if (word == "unsafe") return CacheMode::Unsafe;
  return failf(ErrorKind::Invalid, "'{}' is no cache mode", word);
}

}  // namespace rhea::block
