#include "tools/system/options/memory_objects.h"

#include <algorithm>
#include <bit>

#include "base/failf.h"
#include "tools/system/groups.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

using config::boolean;
using M = MemoryObject;

constexpr uint64_t kLargestObject = uint64_t{1} << 42, kPage = 4096;

std::vector<config::Property> common_properties() {
  return {
      config::size("size", &M::size, 1, 1, kLargestObject, "how much"),
      boolean("share", &M::share, "other processes that have it, too, see what the guest writes"),
      boolean("merge", &M::merge, "the host may share equal pages between machines"),
      boolean("dump", &M::dump, "part of the emulator's core dumps"),
      boolean("reserve", &M::reserve, "the host accounts for it at start"),
      boolean("prealloc", &M::prealloc, "all of it is taken from the host at start"),
      config::integer("prealloc-threads", &M::prealloc_threads, 1u, 64u, "by so many threads"),
      config::choice("policy", &M::policy, {{"default", MemoryPolicy::Default}}, "the host's NUMA policy"),
  };
}

config::Group<M> make_group(MemoryKind kind) {
  std::vector<config::Property> list = common_properties();
  switch (kind) {
    case MemoryKind::Ram: return {"memory-backend-ram", "", std::move(list)};
    case MemoryKind::File:
      list.push_back(config::text("mem-path", &M::path, "the file, or a folder for a nameless one"));
      list.push_back(boolean("discard-data", &M::discard_data, "the contents are given up at the end"));
      return {"memory-backend-file", "", std::move(list)};
    case MemoryKind::Memfd: break;
  }
  list.push_back(boolean("seal", &M::seal, "nobody can change its length"));
  list.push_back(boolean("hugetlb", &M::hugetlb, "of the host's reserved huge pages"));
  list.push_back(config::size("hugetlbsize", &M::hugetlb_size, 1, kPage, kLargestObject, "of this size"));
  return {"memory-backend-memfd", "", std::move(list)};
}

const config::Group<M>& group_of(MemoryKind kind) {
  static const config::Group<M> ram = make_group(MemoryKind::Ram), file = make_group(MemoryKind::File),
                                memfd = make_group(MemoryKind::Memfd);
  return kind == MemoryKind::Ram ? ram : kind == MemoryKind::File ? file : memfd;
}

Result<> check(const M& object) {
  if (object.size == 0) return fail(ErrorKind::Invalid, "Parameter 'size' is missing");
  if (object.kind == MemoryKind::File && object.path.empty())
    return fail(ErrorKind::Invalid, "Parameter 'mem-path' is missing");
  if (object.prealloc && !object.reserve)
    return fail(ErrorKind::Invalid, "'prealloc=on' and 'reserve=off' are incompatible");
  if (object.discard_data && !object.share.value_or(false))
    return fail(ErrorKind::Invalid, "'discard-data=on' needs 'share=on': nothing else changes the file");
  if (object.hugetlb_size && !object.hugetlb)
    return fail(ErrorKind::Invalid, "'hugetlbsize' needs 'hugetlb=on'");
  if (object.hugetlb_size && !std::has_single_bit(*object.hugetlb_size))
    return fail(ErrorKind::Invalid, "Hugepage size must be a power of 2");
  return {};
}

const M* find(const SystemOptions& options, const std::string& id) {
  const auto& all = options.objects.memories;
  const auto at = std::ranges::find(all, id, &M::id);
  return at == all.end() ? nullptr : &*at;
}

}  // namespace

void add_memory_options(Options& to, SystemOptions& o) {
  to.push_back(grouped("m", "[size=]N[M|G]", "guest RAM, 128 MiB by default", memory_group(),
                       [&o](std::string_view text) {
                         o.memory.given = true;
                         return memory_group().parse_into(text, o.memory);
                       }));
  to.push_back(word("mem-path", "FILE|FOLDER", "guest RAM is this file, or a nameless one in this folder",
                    o.memory.path));
  to.push_back(flag("mem-prealloc", "all guest RAM is taken from the host at start", o.memory.prealloc));
}

std::optional<MemoryKind> memory_kind(std::string_view kind) {
  if (kind == "memory-backend-ram") return MemoryKind::Ram;
  if (kind == "memory-backend-file") return MemoryKind::File;
  if (kind == "memory-backend-memfd") return MemoryKind::Memfd;
  return std::nullopt;
}

std::string memory_object_help(MemoryKind kind) {
  return group_of(kind).help();
}

Result<> take_memory_object(SystemOptions& options, MemoryKind kind, std::string id,
                            const config::KeyValues& values) {
  if (find(options, id) != nullptr) return failf(ErrorKind::Invalid, "Duplicate ID '{}' for object", id);
  M object{.kind = kind, .id = std::move(id)};
  TRY(group_of(kind).apply(values, object));
  TRY(check(object));
  options.objects.memories.push_back(std::move(object));
  return {};
}

Result<> settle_memory(SystemOptions& o) {
  std::string& backend = o.machine.memory_backend;
  if (!o.memory.path.empty() && !backend.empty())
    return fail(ErrorKind::Invalid, "'-mem-path' can't be used together with '-machine memory-backend'");
  if (backend.empty() && (!o.memory.path.empty() || o.memory.prealloc)) {
    backend = "pc.ram";
    if (find(o, backend) != nullptr)
      return failf(ErrorKind::Invalid, "Duplicate ID '{}' for object", backend);
    o.objects.memories.push_back({.kind = o.memory.path.empty() ? MemoryKind::Ram : MemoryKind::File,
                                  .id = backend,
                                  .size = o.memory.size,
                                  .prealloc = o.memory.prealloc,
                                  .path = o.memory.path});
  }
  if (backend.empty()) return {};
  const M* object = find(o, backend);
  if (object == nullptr) return failf(ErrorKind::NotFound, "Memory backend '{}' not found", backend);
  if (o.memory.given && o.memory.size != object->size)
    return fail(ErrorKind::Invalid, "Machine memory size does not match the size of the memory backend");
  if (object->size % kPage != 0)
    return failf(ErrorKind::Invalid, "Memory backend '{}' has {} bytes, which are no whole pages", backend,
                 object->size);
  o.memory.size = object->size;
  return {};
}

}  // namespace rhea::system
