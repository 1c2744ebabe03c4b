// What every device must do, whatever it is: a reset leaves nothing of the past, saved state comes back as it
// was, no access and no loaded state harms the host, and without the clock nothing happens. Every device is
// listed once, in specimens.h. (The local APIC has no handler of its own and is tested beside its code.)
#include <gtest/gtest.h>

#include "devices/specimens.h"

namespace rhea::devices::testing {

void PrintTo(const Entry& entry, std::ostream* out) {
  *out << entry.name;
}

namespace {

class Conformance : public ::testing::TestWithParam<Entry> {
 protected:
  Conformance() : specimen(GetParam().make(world)) { specimen.device->reset(bus::ResetKind::Cold); }

  // A guest and an outside world that do anything at all.
  void disturb(unsigned rounds) {
    for (unsigned i = 0; i < rounds; ++i) {
      const uint64_t what = random();
      if (specimen.function != nullptr && what % 4 == 0) touch_config(what);
      if (!specimen.regions.empty()) touch_region(specimen.regions[what / 8 % specimen.regions.size()]);
      if (specimen.poke && what % 16 == 1) specimen.poke(random());
      if (time_runs && what % 32 == 2) world.clock.advance(static_cast<int64_t>(random() % 20'000'000));
    }
  }
  void touch_config(uint64_t what) {
    const unsigned size = 1u << what / 16 % 3;
    const unsigned offset = static_cast<unsigned>(random() % 256) & ~(size - 1);
    if (what / 64 % 2 == 0)
      specimen.function->config_write(offset, size, static_cast<uint32_t>(random()));
    else
      static_cast<void>(specimen.function->config_read(offset, size));
  }
  void touch_region(const Region& region) {
    const memory::IoTraits traits = region.handler->io_traits();
    unsigned size = traits.min;
    for (uint64_t grow = random(); size < traits.max && (grow & 1) != 0; grow >>= 1) size *= 2;
    if (size > region.size) return;
    // Most registers are few and low: half of the accesses go there.
    const uint64_t span = random() % 2 == 0 ? std::min<uint64_t>(region.size, 64) : region.size;
    const uint64_t offset = random() % (span - size + 1);
    if (random() % 2 == 0)
      static_cast<void>(region.handler->io_read(offset, size));
    else
      region.handler->io_write(offset, size, random() >> (random() % 64));
  }
  Saver save() {
    Saver saver;
    specimen.device->state(saver);
    return saver;
  }

  World world;
  Specimen specimen;
  bool time_runs = true;
  std::mt19937_64 random{20261123};
};

TEST_P(Conformance, reset_twice_equals_reset_once) {
  for (int round = 0; round < 20; ++round) {
    disturb(200);
    specimen.device->reset(bus::ResetKind::Cold);
    const Saver once = save();
    specimen.device->reset(bus::ResetKind::Cold);
    EXPECT_EQ(once.text, save().text);
  }
}

TEST_P(Conformance, saved_state_comes_back_after_a_disturbance) {
  for (int round = 0; round < 20; ++round) {
    disturb(200);
    const Saver before = save();
    time_runs = false;  // a machine's clock is restored with its devices
    disturb(200);
    time_runs = true;
    Loader loader(before);
    specimen.device->state(loader);
    EXPECT_EQ(before.text, save().text);
  }
}

TEST_P(Conformance, any_access_is_survived) {
  disturb(20'000);
}

TEST_P(Conformance, every_offset_and_size_is_survived) {
  for (const Region& region : specimen.regions) {
    const memory::IoTraits traits = region.handler->io_traits();
    for (unsigned size = traits.min; size <= traits.max; size *= 2) {
      for (uint64_t offset = 0; offset + size <= std::min<uint64_t>(region.size, 0x2000); ++offset) {
        static_cast<void>(region.handler->io_read(offset, size));
        region.handler->io_write(offset, size, ~uint64_t{0});
        region.handler->io_write(offset, size, 0);
      }
    }
  }
}

TEST_P(Conformance, any_loaded_state_is_survived) {
  for (int round = 0; round < 50; ++round) {
    const Saver shape = save();
    Loader loader(shape, &random);
    specimen.device->state(loader);
    disturb(100);
    specimen.device->reset(bus::ResetKind::Cold);
  }
}

TEST_P(Conformance, nothing_happens_without_the_clock) {
  disturb(500);
  const Saver before = save();
  world.clock.advance(0);
  EXPECT_EQ(before.text, save().text);
}

INSTANTIATE_TEST_SUITE_P(EveryDevice, Conformance, ::testing::ValuesIn(entries()),
                         [](const auto& entry) { return std::string(entry.param.name); });

}  // namespace
}  // namespace rhea::devices::testing
