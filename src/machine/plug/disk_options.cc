#include "machine/plug/disk_options.h"

#include <bit>

namespace rhea::machine {
namespace {

Result<> check_block(std::string_view name, uint32_t bytes) {
  if (std::has_single_bit(bytes)) return {};
  return failf(ErrorKind::Invalid, "'{}' accepts a power of two from 512 to 2 MiB, not {}", name, bytes);
}

block::ErrorPolicy policy_or(DiskErrorPolicy wanted, block::ErrorPolicy now) {
  switch (wanted) {
    case DiskErrorPolicy::Report: return block::ErrorPolicy::Report;
    case DiskErrorPolicy::Ignore: return block::ErrorPolicy::Ignore;
    case DiskErrorPolicy::Enospc: return block::ErrorPolicy::Enospc;
    case DiskErrorPolicy::Stop: return block::ErrorPolicy::Stop;
    default: return now;
  }
}

}  // namespace

config::Choices<OnOffAuto> on_off_auto() {
  return {{"auto", OnOffAuto::Auto}, {"on", OnOffAuto::On}, {"off", OnOffAuto::Off}};
}

config::Choices<DiskErrorPolicy> disk_error_policies() {
  return {{"auto", DiskErrorPolicy::Auto},
          {"report", DiskErrorPolicy::Report},
          {"ignore", DiskErrorPolicy::Ignore},
          {"enospc", DiskErrorPolicy::Enospc},
          {"stop", DiskErrorPolicy::Stop}};
}

Result<block::Drive*> take_drive(DeviceSite& site, const DiskOptions& options) {
  if (!options.drive) return fail(ErrorKind::Invalid, "drive property not set");
  if (options.on_read_error == DiskErrorPolicy::Enospc)
    return fail(ErrorKind::Invalid, "'rerror' accepts auto, report, ignore or stop, not enospc");
  TRY(check_block("logical_block_size", options.logical_block));
  TRY(check_block("physical_block_size", options.physical_block));
  auto* drive = TRY(find_backend(site.backends().drive, "drive", *options.drive));
  drive->set_error_policies(policy_or(options.on_read_error, drive->config().on_read_error),
                            policy_or(options.on_write_error, drive->config().on_write_error));
  if (options.write_cache != OnOffAuto::Auto) drive->set_write_cache(options.write_cache == OnOffAuto::On);
  return drive;
}

}  // namespace rhea::machine
