#include "cpu/models/feature_info.h"
#include "engine/accelerator.h"
#include "engine/dbt/engine.h"

namespace rhea::engine {

namespace {

class DbtAccelerator final : public Accelerator {
 public:
  explicit DbtAccelerator(std::shared_ptr<dbt::DbtShared> shared) : shared_(std::move(shared)) {}

  std::string_view name() const override { return "TCG"; }
  bool is_translator() const override { return true; }
  bool has_smm() const override { return true; }
  std::string info() const override { return dbt::jit_info_text(*shared_); }
  cpu::FeatureSet features() const override { return cpu::translator_features(); }
  void attach(memory::AddressSpace&) override {}  // each core finds its memory itself
  Result<std::unique_ptr<cpu::Engine>> create_engine(unsigned index) override {
    return dbt::make_dbt_engine(shared_, index);
  }

 private:
  std::shared_ptr<dbt::DbtShared> shared_;
};

}  // namespace

Result<std::unique_ptr<Accelerator>> open_dbt(const dbt::DbtOptions& options) {
  return std::make_unique<DbtAccelerator>(TRY(dbt::make_dbt_shared(options)));
}

}  // namespace rhea::engine
