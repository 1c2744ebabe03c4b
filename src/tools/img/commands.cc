#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "block/driver.h"
#include "tools/img/command.h"

namespace rhea::img {
namespace {

constexpr std::array kCommands = {
    Command{"bitmap",
            "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F "
            "source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap",
            run_bitmap},
    Command{"commit",
            "[--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] "
            "[-p] filename",
            run_commit},
    Command{"check",
            "[--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T "
            "src_cache] [-U] "
            "filename",
            run_check},
    Command{
        "compare",
        "[--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 "
        "filename2",
        run_compare, 2},
    Command{"convert",
            "[--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps "
            "[--skip-broken-bitmaps]] [-U] [-C] [-c] "
            "[-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F "
            "backing_fmt]] [-o "
            "options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_threads] [-W] [--salvage] "
            "filename [filename2 [...]] output_filename",
            run_convert},
    Command{"create",
            "[--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] "
            "filename [size]",
            run_create},
    Command{
        "dd",
        "[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input "
        "of=output",
        run_dd},
    Command{"info",
            "[--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename",
            run_info},
    Command{"map",
            "[--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] "
            "[--output=ofmt] "
            "[-U] filename",
            run_map},
    Command{"measure",
            "[--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] [--image-opts] "
            "[-f fmt] [-l "
            "snapshot_param] filename]",
            run_measure},
    Command{"rebase",
            "[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b "
            "backing_file [-F backing_fmt] filename",
            run_rebase},
    Command{"resize",
            "[--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] "
            "filename [+ | "
            "-]size",
            run_resize},
    Command{"snapshot",
            "[--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] "
            "filename",
            run_snapshot},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

std::string help_text() {
  std::string out = fmt::format("usage: {} [standard options] command [command options]\n", program_name());
  out +=
      "Makes, inspects and converts disk images.\n\n"
      "    '-h', '--help'       display this help and exit\n"
      "    '-V', '--version'    output version information and exit\n\n"
      "Command syntax:\n";
  for (const Command& command : commands()) out += fmt::format("  {} {}\n", command.name, command.syntax);
  out +=
      "\nSizes are in bytes or have a suffix k, M, G, T, P or E (powers of 1024). A name is a file, "
      "json:{...}, or\n"
      "with --image-opts a list of options. '-o help' lists the options of a format. Cache modes: none, "
      "writeback\n"
      "(default, except for convert), writethrough, directsync, unsafe (default for convert).\n\n"
      "Supported formats:";
  std::vector<std::string_view> names;
  for (const block::FormatDriver* driver : block::formats()) names.push_back(driver->name());
  std::ranges::sort(names);
  for (const std::string_view name : names) out += fmt::format(" {}", name);
  return out + "\n";
}

}  // namespace rhea::img
