// Cases from seeds: the same seed gives the same case on every run with the same catalogue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalogue.h"
#include "machine.h"

namespace rhea::differential {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {
    state_ = next() ^ seed << 32;
  }                  // neighbouring seeds must not overlap
  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  unsigned below(unsigned n) { return static_cast<unsigned>(next() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

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
  // One template at least: index seed % count; the others are chosen at random.
  Input make(uint64_t seed, unsigned max_insns) const;

 private:
  Mode mode_;
  std::vector<Template> templates_;
};

// Why a form does not run natively in user mode here; null: it does.
const char* excluded(const Template& t, Mode mode);

}  // namespace rhea::differential
