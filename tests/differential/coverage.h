// How often each row of the table of forms was reached, with registers and with memory apart.
#pragma once

#include "generator.h"

namespace rhea::differential {

class Coverage {
 public:
  explicit Coverage(const Generator& g);
  // The instructions up to the one at which the case stopped natively.
  void count(const Input& input, const Result& native);
  // Prints the rows that were reached least often; false: one was reached less than `enough` times.
  bool report(uint64_t enough) const;

 private:
  const Generator& g_;
  std::vector<uint32_t> row_of_;  // template
  std::vector<uint64_t> reached_;
};

}  // namespace rhea::differential
