#include "block/protocols/null.h"

#include <algorithm>

#include "base/sizes.h"
#include "config/schema.h"

namespace rhea::block {
namespace {

constexpr uint64_t kDefaultSize = uint64_t{1} << 30;

class NullNode final : public ProtocolNode {
 public:
  NullNode(uint64_t size, bool says_zero) : size_(size), says_zero_(says_zero) {}

  uint64_t size() const override { return size_; }
  Result<> read(uint64_t, std::span<uint8_t> into) override {
    std::ranges::fill(into, uint8_t{0});
    return {};
  }
  Result<> write(uint64_t, std::span<const uint8_t>) override { return {}; }
  Result<> write_zeroes(uint64_t, uint64_t, ZeroMode) override { return {}; }
  Result<> discard(uint64_t, uint64_t) override { return {}; }
  Result<> flush() override { return {}; }
  Result<Extent> extent(uint64_t offset, uint64_t length) override {
    return Extent{.length = length,
                  .allocated = true,
                  .zero = says_zero_,
                  .data = !says_zero_,
                  .file = this,
                  .file_offset = offset};
  }
  Result<> resize(uint64_t, Preallocation) override {
    return fail(ErrorKind::Unsupported, "Image format driver does not support resize");
  }
  const std::string& filename() const override { return name_; }
  std::optional<uint64_t> allocated_bytes() const override { return 0; }

 private:
  std::string name_ = "null-co://";
  uint64_t size_;
  bool says_zero_;
};

}  // namespace

Result<std::unique_ptr<ProtocolNode>> open_null(config::KeyValues& options) {
  uint64_t size = kDefaultSize;
  if (const auto text = config::take(options, "size")) size = TRY(parse_size(*text));
  const bool says_zero =
      TRY_IN(config::parse_bool(config::take(options, "read-zeroes").value_or("off")), "read-zeroes");
  return std::make_unique<NullNode>(size, says_zero);
}

}  // namespace rhea::block
