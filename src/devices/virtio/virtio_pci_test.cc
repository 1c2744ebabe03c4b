#include "devices/virtio/virtio_pci.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "devices/virtio/testing/pci_guest.h"
#include "devices/virtio/virtio_rng.h"

namespace rhea::devices::virtio {
namespace {

struct Counting final : EntropySource {
  size_t take(std::span<uint8_t> to) override {
    const size_t n = std::min<size_t>(to.size(), left);
    for (size_t i = 0; i < n; ++i) to[i] = ++next;
    left -= n;
    return n;
  }
  void wait(std::function<void()> r) override { ready = std::move(r); }
  size_t left = SIZE_MAX;
  uint8_t next = 0;
  std::function<void()> ready;
};

class VirtioPciTest : public ::testing::Test {
 protected:
  void plug(const VirtioPci::Options& options = {}, const RingOptions& ring = {}) {
    guest.plug(std::make_unique<VirtioRng>(source, clock, limits, ring), options);
  }
  // One request of `bytes` random bytes.
  std::optional<uint32_t> ask(uint32_t bytes) {
    guest.rings[0]->add({{guest.kScratch, bytes, true}});
    guest.kick(0);
    const auto used = guest.rings[0]->take();
    if (!used) return std::nullopt;
    return used->written;
  }

  async::FakeClock clock{0};
  testing::PciGuest guest;
  std::shared_ptr<Counting> source = std::make_shared<Counting>();
  VirtioRng::Options limits;
};

TEST_F(VirtioPciTest, identities_of_the_three_interfaces) {
  plug();
  EXPECT_EQ(guest.config(0, 4), 0x10051af4u);
  EXPECT_EQ(guest.config(0x2c, 4), 0x00041af4u);
  EXPECT_EQ(guest.config(8, 1), 0u);
  guest.function.reset();
  plug({.interface = VirtioPci::Interface::Modern});
  EXPECT_EQ(guest.config(0, 4), 0x10441af4u);
  EXPECT_EQ(guest.config(0x2c, 4), 0x11001af4u);
  EXPECT_EQ(guest.config(8, 1), 1u);
  EXPECT_EQ(guest.config(0x10, 4), 0u);
  guest.function.reset();
  plug({.interface = VirtioPci::Interface::Legacy, .vectors = 0});
  EXPECT_EQ(guest.config(0x34, 1), 0u);
}

TEST_F(VirtioPciTest, capabilities_name_the_four_structures) {
  plug();
  unsigned seen = 0;
  for (unsigned at = guest.config(0x34, 1); at != 0; at = guest.config(at + 1, 1)) {
    if (guest.config(at, 1) != 9) continue;
    const unsigned type = guest.config(at + 3, 1);
    seen |= 1u << type;
    if (type != 5) {
      EXPECT_EQ(guest.config(at + 4, 1), 4u);
    }
  }
  EXPECT_EQ(seen, 0x3eu);
}

TEST_F(VirtioPciTest, a_modern_driver_gets_its_bytes_split_and_packed) {
  for (bool packed : {false, true}) {
    guest.function.reset();
    plug({}, {.packed = true});
    EXPECT_EQ(guest.offered(), kVersion1 | kIndirectDesc | kEventIdx | kRingPacked);
    guest.start(0, 1, packed);
    EXPECT_EQ(ask(16), 16u);
    EXPECT_EQ(guest.at(guest.kScratch)[15], source->next);
    EXPECT_TRUE(guest.pin);
    EXPECT_EQ(guest.memory.load(guest.kBar + 0x1000, 1), 1u);
    EXPECT_FALSE(guest.pin);
  }
}

TEST_F(VirtioPciTest, features_that_are_not_offered_are_refused) {
  plug();
  EXPECT_FALSE(guest.negotiate(kVersion1 | kRingPacked));
  EXPECT_FALSE(guest.negotiate(kIndirectDesc));  // the modern interface is for VERSION_1
  EXPECT_TRUE(guest.negotiate(kVersion1 | kEventIdx));
  // What was agreed on stays.
  guest.common(kDriverFeatureSelect, 4, 0);
  guest.common(kDriverFeature, 4, 0);
  EXPECT_EQ(guest.common(kDriverFeature, 4), kEventIdx);
}

TEST_F(VirtioPciTest, msix_vectors_are_used_when_on) {
  plug();
  guest.start(0, 1);
  guest.common(kQueueVector, 2, 1);
  EXPECT_EQ(guest.common(kQueueVector, 2), 1u);
  guest.common(kConfigVector, 2, 7);  // there are two
  EXPECT_EQ(guest.common(kConfigVector, 2), 0xffffu);
  guest.config(0x98 + 2, 2, 0x8000);
  guest.memory.store(guest.kVectorsBar + 16, 4, 0xfee00000);
  guest.memory.store(guest.kVectorsBar + 24, 4, 0x41);
  guest.memory.store(guest.kVectorsBar + 28, 4, 0);
  EXPECT_EQ(ask(1), 1u);
  EXPECT_FALSE(guest.pin);
  EXPECT_EQ(guest.messages, std::vector<unsigned>{0x41});
}

TEST_F(VirtioPciTest, the_configuration_window_reaches_the_registers) {
  plug();
  guest.config(0x84 + 4, 1, 4);
  guest.config(0x84 + 8, 4, kDeviceStatus);
  guest.config(0x84 + 12, 4, 1);
  guest.config(0x84 + 16, 1, kAcknowledge);
  EXPECT_EQ(guest.status(), kAcknowledge);
  EXPECT_EQ(guest.config(0x84 + 16, 4) & 0xff, kAcknowledge);
  // Out of the BAR, a bad width, another BAR: nothing.
  for (uint32_t at : {0x4000u, 0xfffffffcu}) {
    guest.config(0x84 + 8, 4, at);
    guest.config(0x84 + 16, 1, 0);
    EXPECT_EQ(guest.status(), kAcknowledge);
  }
  guest.config(0x84 + 8, 4, kDeviceStatus);
  guest.config(0x84 + 12, 4, 3);
  guest.config(0x84 + 16, 4, 0);
  EXPECT_EQ(guest.status(), kAcknowledge);
}

TEST_F(VirtioPciTest, a_legacy_driver_places_its_ring_by_page) {
  plug();
  auto& io = guest.ports;
  constexpr uint64_t kPorts = testing::PciGuest::kPorts;
  EXPECT_EQ(io.load(kPorts + kLegacyHostFeatures, 4),
            kNotifyOnEmpty | kAnyLayout | kIndirectDesc | kEventIdx);
  io.store(kPorts + kLegacyStatus, 1, kAcknowledge | kDriver);
  io.store(kPorts + kLegacyGuestFeatures, 4, 0);
  io.store(kPorts + kLegacyQueueSelect, 2, 0);
  EXPECT_EQ(io.load(kPorts + kLegacyQueueSize, 2), 8u);
  io.store(kPorts + kLegacyQueuePfn, 4, 0x20);
  EXPECT_EQ(io.load(kPorts + kLegacyQueuePfn, 4), 0x20u);
  io.store(kPorts + kLegacyStatus, 1, kAcknowledge | kDriver | kDriverOk);
  testing::RingDriver ring(*guest.ram, 0x20000, 8, false);
  ring.put_descriptor(0x20000, guest.kScratch, 4, kDescWrite, 0);
  ring.put<uint16_t>(0x20000 + 8 * 16 + 2, 1);
  io.store(kPorts + kLegacyQueueNotify, 2, 0);
  EXPECT_EQ(ring.get<uint16_t>(0x21000 + 2), 1u);
  EXPECT_EQ(ring.get<uint32_t>(0x21000 + 8), 4u);
  EXPECT_TRUE(guest.pin);
  EXPECT_EQ(io.load(kPorts + kLegacyIsr, 1), 1u);
  EXPECT_FALSE(guest.pin);
  io.store(kPorts + kLegacyStatus, 1, 0);
  EXPECT_EQ(io.load(kPorts + kLegacyQueuePfn, 4), 0u);
}

TEST_F(VirtioPciTest, a_broken_ring_asks_for_a_reset_which_helps) {
  plug();
  guest.start(0, 1);
  guest.rings[0]->offer(100);
  guest.kick(0);
  EXPECT_NE(guest.status() & kNeedsReset, 0);
  EXPECT_TRUE(guest.pin);
  EXPECT_EQ(guest.memory.load(guest.kBar + 0x1000, 1), kIsrConfig);
  guest.common(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  EXPECT_NE(guest.status() & kNeedsReset, 0);
  EXPECT_FALSE(ask(1).has_value());
  guest.start(0, 1);
  EXPECT_EQ(ask(1), 1u);
}

TEST_F(VirtioPciTest, nothing_moves_unless_bus_master_and_driver_ok) {
  plug();
  guest.start(0, 1);
  guest.config(4, 2, 3);
  EXPECT_FALSE(ask(1).has_value());
  EXPECT_EQ(guest.status() & kNeedsReset, 0);
  guest.config(4, 2, 7);
  guest.kick(0);
  EXPECT_TRUE(guest.rings[0]->take().has_value());
  EXPECT_TRUE(guest.negotiate(kVersion1));
  guest.make_queue(0, 8);
  EXPECT_FALSE(ask(1).has_value());
}

TEST_F(VirtioPciTest, an_enabled_queue_cannot_be_changed) {
  plug();
  guest.start(0, 1);
  guest.common(kQueueSize, 2, 4);
  EXPECT_EQ(guest.common(kQueueSize, 2), 8u);
  guest.common(kQueueDesc, 4, 0);
  EXPECT_EQ(guest.common(kQueueDesc, 4), guest.kRings);
  guest.common(kQueueSelect, 2, 1);  // there is one queue
  EXPECT_EQ(guest.common(kQueueSize, 2), 0u);
  EXPECT_EQ(guest.common(kNumQueues, 2), 1u);
}

TEST_F(VirtioPciTest, rng_keeps_its_limit_over_a_reset) {
  limits = {.max_bytes = 10, .period_ms = 1000};
  plug();
  guest.start(0, 1);
  EXPECT_EQ(ask(8), 8u);
  EXPECT_EQ(ask(8), 2u);
  EXPECT_FALSE(ask(8).has_value());
  guest.start(0, 1);
  EXPECT_FALSE(ask(8).has_value());
  clock.advance(1'000'000'000);
  const auto used = guest.rings[0]->take();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, 8u);
}

TEST_F(VirtioPciTest, rng_waits_for_its_source) {
  source->left = 3;
  plug();
  guest.start(0, 1);
  EXPECT_EQ(ask(8), 3u);
  EXPECT_FALSE(ask(8).has_value());
  ASSERT_TRUE(source->ready);
  source->left = 8;
  source->ready();
  EXPECT_TRUE(guest.rings[0]->take().has_value());
  // A reset forgets the question.
  EXPECT_FALSE(ask(8).has_value());
  auto stale = std::exchange(source->ready, nullptr);
  guest.start(0, 1);
  source->left = 8;
  stale();
  EXPECT_EQ(source->left, 8u);
}

}  // namespace
}  // namespace rhea::devices::virtio
