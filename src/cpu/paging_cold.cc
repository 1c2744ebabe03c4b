// The parts of paging that allocate or take references; never called with guest vector state in host
// registers.
#include "cpu/paging_cold.h"

#include "cpu/paging.h"
#include "cpu/paging_tlb.h"

namespace rhea::cpu {

void paging_create(Core& c) {
  if (c.tlb != nullptr) return;
  c.tlb = new PagingTlb{};
  c.tlb->counter = 2;
  c.tlb->global_stamp = 1;
  c.tlb->floor = 2;
  c.tlb->rules_seen = ~uint32_t{0};
}

void paging_destroy(Core& c) {
  delete c.tlb;
  c.tlb = nullptr;
}

namespace paging_cold {

void create(void* core) {
  paging_create(*static_cast<Core*>(core));
}

void refresh_view(void* arg) {
  auto* a = static_cast<RefreshArg*>(arg);
  ViewCache& v = *a->view;
  v.owner = a->space->view();
  v.ranges = v.owner->ranges.data();
  v.count = v.owner->ranges.size();
  v.last = v.count != 0 ? v.ranges : nullptr;
  v.space = a->space;
}

void load(void* arg) {
  auto* a = static_cast<IoArg*>(arg);
  a->value = a->space->load(a->address, a->size);
}

void store(void* arg) {
  auto* a = static_cast<IoArg*>(arg);
  a->space->store(a->address, a->size, a->value);
}

void load_run(void* arg) {
  auto* a = static_cast<RunArg*>(arg);
  a->space->load_run(a->address, a->size, {a->data, a->bytes});
}

void store_run(void* arg) {
  auto* a = static_cast<RunArg*>(arg);
  a->space->store_run(a->address, a->size, {a->data, a->bytes});
}

void note_written(void* arg) {
  auto* a = static_cast<NoteArg*>(arg);
  a->ram->note_written(a->offset, a->length);
}

}  // namespace paging_cold
}  // namespace rhea::cpu
