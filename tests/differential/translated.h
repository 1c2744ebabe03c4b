// Runs a case in a guest: the binary translator with one vCPU in long mode at CPL 3, the same linear
// addresses mapped, the same descriptors, and an IDT whose handlers halt, so that every event ends the run
// with the state in sight.
#pragma once

#include <memory>

#include "engine/dbt/options.h"
#include "machine.h"

namespace rhea::differential {

class Translated {
 public:
  explicit Translated(const dbt::DbtOptions& options);
  ~Translated();
  Translated(const Translated&) = delete;
  Translated& operator=(const Translated&) = delete;

  // per_cpu_limit: of kPerCpu, as the oracle saw it.
  void run(const Case& c, const Registers& before, const Window& window, uint32_t per_cpu_limit,
           Result& result);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rhea::differential
