#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "block/driver.h"
#include "tools/img/command.h"

namespace rhea::img {
namespace {

constexpr std::array kCommands = {
    Command{"amend",
            "[--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename",
            "Changes options of an image that exists.", run_amend},
    Command{"bench",
            "[--object objectdef] [-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] "
            "[-n] [--no-drain] [-o "
            "offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] "
            "[--image-opts] filename",
            "Reads or writes an image with many requests in flight and tells how long it took.", run_bench},
    Command{"bitmap",
            "(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F "
            "source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap",
            "Changes a persistent dirty bitmap of an image.", run_bitmap},
    Command{"commit",
            "[--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] "
            "[-p] filename",
            "Writes what an image holds into its backing image.", run_commit},
    Command{"check",
            "[--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T "
            "src_cache] [-U] "
            "filename",
            "Looks for errors in an image and repairs them. Exit status: 0 none, 1 failure, 2 errors, 3 "
            "leaks, 63 the format has no check.",
            run_check},
    Command{
        "compare",
        "[--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 "
        "filename2",
        "Tells whether two images read the same. Exit status: 0 they do, 1 they do not, 2 failure.",
        run_compare, 2},
    Command{"convert",
            "[--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps "
            "[--skip-broken-bitmaps]] [-U] [-C] [-c] "
            "[-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F "
            "backing_fmt]] [-o "
            "options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_threads] [-W] [--salvage] "
            "filename [filename2 [...]] output_filename",
            "Copies images, one behind the other, into a new image of any format.", run_convert},
    Command{"create",
            "[--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] "
            "filename [size]",
            "Makes an image. The size is in bytes or has a suffix k, M, G, T, P or E; with a backing file it "
            "may be left out.",
            run_create},
    Command{
        "dd",
        "[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input "
        "of=output",
        "Copies blocks of an image into a new one. Operands: if=FILE of=FILE bs=SIZE (512) count=BLOCKS "
        "skip=BLOCKS.",
        run_dd},
    Command{"info",
            "[--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename",
            "Tells what an image is.", run_info},
    Command{"map",
            "[--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] "
            "[--output=ofmt] "
            "[-U] filename",
            "Tells where the data of an image lies.", run_map},
    Command{"measure",
            "[--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] [--image-opts] "
            "[-f fmt] [-l "
            "snapshot_param] filename]",
            "Tells what file size an image would take.", run_measure},
    Command{"rebase",
            "[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b "
            "backing_file [-F backing_fmt] filename",
            "Gives an image another backing file.", run_rebase},
    Command{"resize",
            "[--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] "
            "filename [+ | "
            "-]size",
            "Changes the size of the disk; +SIZE and -SIZE are relative to what it is.", run_resize},
    Command{"snapshot",
            "[--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] "
            "filename",
            "Lists, makes, applies and deletes the snapshots inside of an image.", run_snapshot},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

std::string version_text() {
  // Scripts that call us by the other name look for that name and its version.
  if (program_name() == "qemu-img") return "qemu-img version 7.2.0 (Rhea " RHEA_VERSION ")\n";
  return "rhea-img version " RHEA_VERSION " (compatible with qemu-img 7.2.0)\n";
}

std::string help_text() {
  std::string out = version_text();
  out += fmt::format("usage: {} [standard options] command [command options]\n", program_name());
  out +=
      "Makes, inspects and converts disk images.\n\n"
      "    '-h', '--help'       display this help and exit\n"
      "    '-V', '--version'    output version information and exit\n"
      "    '-T', '--trace'      [enable=]PATTERN[,events=FILE][,file=FILE]: write trace events; help lists "
      "them\n\n"
      "'COMMAND --help' tells about the options of a command.\n\n"
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
