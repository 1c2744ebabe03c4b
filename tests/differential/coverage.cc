#include "coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace rhea::differential {

Coverage::Coverage(const Generator& g) : g_(g), row_of_(g.templates().size()), reached_(g.rows().size()) {
  for (uint32_t row = 0; row < g.rows().size(); ++row) {
    for (uint32_t t : g.rows()[row]) row_of_[t] = row;
  }
}

void Coverage::count(const Input& input, const Result& native) {
  uint64_t at = input.registers.rip;
  for (size_t i = 0; i < input.c.templates.size(); ++i) {
    uint32_t t = input.c.templates[i];
    if (t != ~0u) ++reached_[row_of_[t]];
    if (at == native.registers.rip) break;
    at += input.c.lengths[i];
  }
}

bool Coverage::report(uint64_t enough) const {
  constexpr size_t kShown = 3;
  std::vector<uint32_t> order(reached_.size());
  std::iota(order.begin(), order.end(), 0u);
  size_t shown = std::min(kShown, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(shown), order.end(),
                    [&](uint32_t a, uint32_t b) { return reached_[a] < reached_[b]; });
  uint64_t least = reached_[order[0]];
  fmt::print("coverage: {} rows of forms, with registers or memory, each at least {} times; least often",
             order.size(), least);
  for (size_t i = 0; i < shown; ++i) {
    fmt::print("{} {} ({})", i == 0 ? "" : ",", g_.templates()[g_.rows()[order[i]][0]].name(),
               reached_[order[i]]);
  }
  auto few = static_cast<size_t>(
      std::count_if(reached_.begin(), reached_.end(), [&](uint64_t n) { return n < enough; }));
  fmt::print("\n");
  if (few != 0) fmt::print("FAIL coverage: {} rows less than {} times\n", few, enough);
  return few == 0;
}

}  // namespace rhea::differential
