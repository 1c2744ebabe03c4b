// The `-o` options of formats: one table a format gives the help text, the parser, the line that `create`
// prints and the values for the driver.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::block {

struct CreateOption {
  enum class Type { Text, Bool, Size, Number };
  const char* name;
  Type type;
  const char* help;
  const char* preset = nullptr;  // the default that `create` prints although nobody gave it
};

// Values by name, checked against a table. Texts are in their normal form: sizes in plain bytes, on or off.
class CreateValues {
 public:
  // "a=1,b=2" over what is there; `table` in the order in which `create` prints.
  Result<> parse(std::string_view text, std::span<const CreateOption> table);
  Result<> set(std::string_view name, std::string_view value, std::span<const CreateOption> table);
  // As if given, without a check.
  void put(std::string name, std::string value) { values_[std::move(name)] = std::move(value); }
  void erase(const std::string& name) { values_.erase(name); }

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, std::string_view otherwise = "") const;
  uint64_t number(const std::string& name, uint64_t otherwise) const;
  bool flag(const std::string& name, bool otherwise) const;
  const std::map<std::string, std::string>& all() const { return values_; }

  // "cluster_size=65536 lazy_refcounts=off", in the order of the table, defaults included.
  std::string line(std::span<const CreateOption> table) const;

 private:
  std::map<std::string, std::string> values_;
};

// The lines of `-o help`, sorted by name.
std::string create_options_help(std::vector<CreateOption> table);

}  // namespace rhea::block
