// Where the generator's random numbers, register and memory contents, addresses and selectors come from.
#pragma once

#include <cstddef>
#include <cstdint>

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
  template <class T, size_t N>
  T of(const T (&all)[N]) {
    return all[below(N)];
  }

 private:
  uint64_t state_;
};

// What a mode's data segments begin at.
uint64_t data_base(Mode mode);
// A linear address in the data window or at one of its edges.
uint64_t place(Random& r);
uint64_t register_value(Random& r, Mode mode);
// Mostly one that may be loaded; null, absent, privileged and impossible ones too.
uint16_t any_selector(Random& r);
uint16_t code_selector(Random& r);

void fill_window(Random& r, Window& window);
void make_xsave(Random& r, Registers& out, bool quiet);
void make_segments(Random& r, Mode mode, Registers& out);

}  // namespace rhea::differential
