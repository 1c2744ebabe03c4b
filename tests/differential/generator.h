// Cases from seeds: the same seed gives the same case on every run with the same catalogue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalogue.h"
#include "values.h"

namespace rhea::differential {

struct Input {
  Case c;
  Registers registers;
  Window window;
};

class Generator {
 public:
  // Templates of the mode that may run natively in user mode; `filter`: substring of the mnemonic, or empty.
  Generator(Mode mode, const std::string& filter);
  const std::vector<Template>& templates() const { return templates_; }
  // Templates by what coverage counts: a row of the table of forms, with registers or with memory.
  const std::vector<std::vector<uint32_t>>& rows() const { return rows_; }
  // One template at least is of the row seed % rows; the others are chosen at random.
  void make(uint64_t seed, unsigned max_insns, Input& in) const;

 private:
  Mode mode_;
  std::vector<Template> templates_;
  std::vector<std::vector<uint32_t>> rows_;
};

}  // namespace rhea::differential
