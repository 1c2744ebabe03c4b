// The commands of rhea-img, one file each, and the table that main goes by.
#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace rhea::img {

using Words = std::span<const std::string>;

struct Command {
  const char* name;
  const char* syntax;  // the rest of its line in --help
  const char* about;
  Result<int> (*run)(Words words);  // the exit status; an error is printed by main
  int failure = 1;                  // the exit status for errors
};

std::span<const Command> commands();
std::string help_text();
std::string version_text();

Result<int> run_amend(Words words);
Result<int> run_bench(Words words);
Result<int> run_bitmap(Words words);
Result<int> run_check(Words words);
Result<int> run_commit(Words words);
Result<int> run_compare(Words words);
Result<int> run_convert(Words words);
Result<int> run_create(Words words);
Result<int> run_dd(Words words);
Result<int> run_info(Words words);
Result<int> run_map(Words words);
Result<int> run_measure(Words words);
Result<int> run_rebase(Words words);
Result<int> run_resize(Words words);
Result<int> run_snapshot(Words words);

}  // namespace rhea::img
