// Vcpus for tests of what is around them: no guest's code, but what the test says.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "cpu/paging.h"
#include "engine/accelerator.h"

namespace rhea::machine {

// Runs a script instead of code: what run() does is decided by the test.
class ScriptEngine final : public cpu::Engine {
 public:
  using Script = std::function<cpu::Exit(cpu::Core&)>;
  ScriptEngine(unsigned index, Script script) : script_(std::move(script)) { core_.index = index; }
  ~ScriptEngine() override { cpu::paging_destroy(core_); }
  cpu::Exit run() override {
    if ((core_.pending.load() & cpu::pending::kExit) != 0) return cpu::Exit::Kicked;
    return script_(core_);
  }
  void kick() override {}
  cpu::Core& core() override { return core_; }
  void pull() override {}
  void push() override {}
  void set_debug(const cpu::DebugRequest*) override {}
  cpu::DebugHit debug_hit() const override { return {}; }

 private:
  cpu::Core core_;
  Script script_;
};

class ScriptAccelerator final : public engine::Accelerator {
 public:
  explicit ScriptAccelerator(ScriptEngine::Script script, bool translator = false)
      : script_(std::move(script)), translator_(translator) {}
  std::string_view name() const override { return "script"; }
  bool is_translator() const override { return translator_; }
  bool has_smm() const override { return false; }
  cpu::FeatureSet features() const override { return {}; }
  void attach(memory::AddressSpace&) override {}
  Result<std::unique_ptr<cpu::Engine>> create_engine(unsigned index) override {
    return std::make_unique<ScriptEngine>(index, script_);
  }

 private:
  ScriptEngine::Script script_;
  bool translator_;
};

}  // namespace rhea::machine
