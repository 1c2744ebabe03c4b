#include "tools/system/options/objects.h"

#include <algorithm>

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

constexpr const char* kKinds =
    "List of user creatable objects:\n  filter-dump\n  memory-backend-file\n  memory-backend-memfd\n"
    "  memory-backend-ram\n  rng-builtin\n  rng-random\n  secret\n";

struct RandomKeys {
  std::string filename = "/dev/urandom";
};

const config::Group<RandomKeys>& random_group() {
  static const config::Group<RandomKeys> group{
      "rng-random",
      "",
      {config::text("filename", &RandomKeys::filename, "where random bytes are read from")}};
  return group;
}

Result<> take_rng(ObjectOptions& to, const std::string& kind, std::string id,
                  const config::KeyValues& values) {
  RandomKeys keys;
  if (kind == "rng-random") {
    TRY(random_group().apply(values, keys));
  } else if (!values.empty()) {
    return failf(ErrorKind::Invalid, "Property 'rng-builtin.{}' not found", values.front().key);
  }
  if (std::ranges::find(to.rngs, id, &RngObject::id) != to.rngs.end())
    return failf(ErrorKind::Invalid, "attempt to add duplicate property '{}' to object (type 'container')",
                 id);
  to.rngs.push_back({std::move(id), kind == "rng-random" ? keys.filename : std::string()});
  return {};
}

Result<> take_object(SystemOptions& options, std::string_view text) {
  if (text == "help" || text == "?") print_and_exit(kKinds);
  config::KeyValues values = TRY(config::split_options(text, "qom-type"));
  const std::string kind = config::take(values, "qom-type").value_or("");
  if (kind == "filter-dump") return take_network_object(options.network, values);
  const bool is_rng = kind == "rng-random" || kind == "rng-builtin";
  const std::optional<MemoryKind> memory = memory_kind(kind);
  if (!is_rng && !memory && kind != "secret")
    return failf(ErrorKind::Unsupported, "objects of type '{}' are not supported", kind);
  if (memory && config::asks_for_help(text)) print_and_exit(memory_object_help(*memory));
  if (config::asks_for_help(text))
    print_and_exit(kind == "rng-random" ? random_group().help() : "There are no options for " + kind + ".\n");
  const auto id = config::take(values, "id");
  if (!id || id->empty()) return fail(ErrorKind::Invalid, "Parameter 'id' is missing");
  if (memory) return take_memory_object(options, *memory, *id, values);
  if (is_rng) return take_rng(options.objects, kind, *id, values);
  options.objects.secrets.push_back({*id, std::move(values)});
  return {};
}

}  // namespace

void add_object_options(Options& to, SystemOptions& options) {
  to.push_back({"object", "filter-dump|memory-backend-KIND|rng-builtin|rng-random|secret,id=ID[,…]",
                "something that others refer to by its id; -object help lists the kinds",
                [&options](std::string_view text) { return take_object(options, text); }});
}

}  // namespace rhea::system
