#include "tools/img/option_help.h"

#include <fmt/core.h>

#include <string_view>

#include "base/log.h"
#include "tools/img/command.h"

namespace rhea::img {
namespace {

// The first entry that fits counts: those for single commands stand before those for all.
struct OptionHelp {
  std::string_view commands;  // separated by blanks; empty: all
  std::string_view option;    // a letter or a long name
  std::string_view argument;
  std::string_view text;
};

constexpr OptionHelp kHelp[] = {
    {"amend", "o", "options", "what to change, as name=value,...; help lists the names"},
    {"amend", "force", "", "allow what makes the data unreadable: erasing the last password"},
    {"bench", "c", "count", "number of requests (75000)"},
    {"bench", "d", "depth", "requests in flight (64)"},
    {"bench", "i", "aio", "how requests reach the kernel: threads (the default), native or io_uring"},
    {"bench", "n", "", "same as -i native"},
    {"bench", "o", "offset", "where the first request begins (0)"},
    {"bench", "s", "buffer_size", "bytes of a request (4096)"},
    {"bench", "S", "step_size", "bytes from one request to the next (buffer_size)"},
    {"bench", "w", "", "write instead of read"},
    {"bench", "q", "", "no warnings"},
    {"bench", "pattern", "pattern", "the byte that is written (0)"},
    {"bench", "flush-interval", "flush_interval", "flush after so many writes"},
    {"bench", "no-drain", "", "flush while other requests are in flight"},
    {"bitmap", "b", "source_file", "where --merge finds its source bitmap"},
    {"bitmap", "F", "source_fmt", "the format of source_file"},
    {"bitmap", "g", "granularity", "bytes a bit stands for, with --add"},
    {"bitmap", "add", "", "a new bitmap, which records"},
    {"bitmap", "remove", "", "delete the bitmap"},
    {"bitmap", "clear", "", "clear all bits"},
    {"bitmap", "enable", "", "record writes from now on"},
    {"bitmap", "disable", "", "record no more"},
    {"bitmap", "merge", "SOURCE", "set all bits that are set in bitmap SOURCE"},
    {"check", "r", "leaks|all", "repair leaked clusters only, or everything"},
    {"commit", "b", "base", "commit into this image of the chain (the backing image)"},
    {"commit", "d", "", "do not empty the image afterwards"},
    {"compare", "F", "fmt", "the format of the second image"},
    {"compare", "s", "", "strict: sizes and allocation must be equal too"},
    {"convert", "O", "output_fmt", "the format of the target (raw)"},
    {"convert", "B", "backing_file", "the target's backing file, which already has what is not copied"},
    {"convert create", "F", "backing_fmt", "the format of the backing file"},
    {"convert", "l", "snapshot_param",
     "a snapshot of the source: snapshot.id=,snapshot.name= or either alone"},
    {"convert", "S", "sparse_size", "zeros of at least so many bytes make a hole (4k); 0: none"},
    {"convert", "m", "num_threads", "how many pieces are copied at once, 1 to 16 (8)"},
    {"convert", "W", "", "write to the target out of order"},
    {"convert", "n", "", "write into a target that exists"},
    {"convert", "c", "", "compress the target"},
    {"convert", "C", "", "let the host's file system copy"},
    {"convert", "t", "cache", "cache mode of the target (unsafe)"},
    {"convert", "target-image-opts", "", "the target is named by options, as --image-opts does; with -n"},
    {"convert", "target-is-zero", "", "the target reads as zeros already; with -n"},
    {"convert", "salvage", "", "go on after read errors, with zeros"},
    {"convert", "bitmaps", "", "copy the persistent bitmaps of the source"},
    {"convert", "skip-broken-bitmaps", "", "leave out bitmaps that were not stored properly; with --bitmaps"},
    {"create", "f", "fmt", "the format of the new image (raw)"},
    {"create", "b", "backing_file", "what is read where the new image has no data"},
    {"create", "u", "", "do not open the backing file"},
    {"dd", "O", "output_fmt", "the format of the target (raw)"},
    {"info", "backing-chain", "", "tell about the backing images too"},
    {"map", "start-offset", "offset", "where to begin"},
    {"map", "max-length", "len", "how far to look"},
    {"measure", "O", "output_fmt", "the format of the new image (raw)"},
    {"measure", "l", "snapshot_param", "a snapshot of the image"},
    {"measure", "size", "N", "the size of a new, empty image instead of one that exists"},
    {"rebase", "b", "backing_file", "the new backing file; empty: none"},
    {"rebase", "F", "backing_fmt", "the format of the new backing file"},
    {"rebase", "u", "", "only write the name: content may change"},
    {"resize", "shrink", "", "allow a smaller size, which loses what lies behind it"},
    {"resize", "preallocation", "prealloc", "off, metadata, falloc or full, for the space that is new"},
    {"snapshot", "l", "", "list the snapshots (what is done without an option)"},
    {"snapshot", "a", "snapshot", "go back to what the image was then"},
    {"snapshot", "c", "snapshot", "make a snapshot"},
    {"snapshot", "d", "snapshot", "delete a snapshot"},
    {"", "h", "", "this help"},
    {"", "f", "fmt", "the image's format; without it, it is guessed from the content"},
    {"", "o", "options", "options of the format as name=value,...; help lists them"},
    {"", "p", "", "print how far the work is"},
    {"", "q", "", "print nothing but errors"},
    {"", "r", "rate_limit", "at most so many bytes a second"},
    {"", "t", "cache", "cache mode: none, writeback, writethrough, directsync or unsafe (writeback)"},
    {"", "T", "src_cache", "cache mode for reading (writeback)"},
    {"", "U", "", "open although another process writes to the image"},
    {"", "image-opts", "", "names of images are option lists: driver=qcow2,file.filename=..."},
    {"", "object", "objectdef",
     "secret,id=ID,data=TEXT or secret,id=ID,file=NAME: a password; tls-creds-x509,id=ID,dir=FOLDER: "
     "certificates; tls-creds-psk,id=ID,dir=FOLDER: a shared key"},
    {"", "output", "ofmt", "human or json"},
};

std::string& current_command() {
  static std::string name;
  return name;
}

bool is_among(std::string_view words, std::string_view word) {
  for (size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

const OptionHelp* help_of(const Option& option) {
  for (const OptionHelp& help : kHelp) {
    const bool fits = option.letter != 0 && help.option.size() == 1 ? help.option[0] == option.letter
                                                                    : help.option == option.name;
    if (fits && (help.commands.empty() || is_among(help.commands, current_command()))) return &help;
  }
  return nullptr;
}

std::string head_of(const Option& option, std::string_view argument) {
  const std::string_view name = option.name;
  std::string out = option.letter != 0 ? fmt::format("-{}", option.letter) : "";
  if (!name.empty()) out += fmt::format("{}--{}", out.empty() ? "" : ", ", name);
  if (option.takes_value) out += fmt::format("{}{}", name.empty() ? ' ' : '=', argument);
  return out;
}

}  // namespace

void set_current_command(const std::string& name) {
  current_command() = name;
}

std::string command_help(std::span<const Option> options) {
  std::string out;
  for (const Command& command : commands()) {
    if (current_command() == command.name)
      out =
          fmt::format("usage: {} {} {}\n{}\n\n", program_name(), command.name, command.syntax, command.about);
  }
  for (const Option& option : options) {
    const OptionHelp* help = help_of(option);
    const std::string head = head_of(option, help == nullptr ? "" : help->argument);
    out += fmt::format("  {:<26}  {}\n", head, help == nullptr ? "" : help->text);
  }
  return out;
}

}  // namespace rhea::img
