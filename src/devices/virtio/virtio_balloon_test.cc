#include "devices/virtio/virtio_balloon.h"

#include <gtest/gtest.h>

#include "devices/virtio/testing/pci_guest.h"

namespace rhea::devices::virtio {
namespace {

TEST(VirtioBalloonTest, pages_are_given_back_and_counted) {
  testing::PciGuest guest;
  uint64_t told = 0;
  auto made = std::make_unique<VirtioBalloon>(
      VirtioBalloon::Options{.changed = [&](uint64_t pages) { told = pages; }}, RingOptions{});
  VirtioBalloon& balloon = *made;
  guest.plug(std::move(made), {.interface = VirtioPci::Interface::Modern});
  EXPECT_EQ(guest.config(0, 4), 0x10451af4u);
  ASSERT_TRUE(guest.negotiate(kVersion1));
  guest.make_queue(0, 8);
  guest.make_queue(1, 8);
  guest.common(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  balloon.set_target(2);

  uint8_t* page = guest.ram->host() + 0xc0000;
  std::fill_n(page, 3 * VirtioBalloon::kPage, uint8_t{0x55});
  store_le<uint32_t>(guest.ram->host() + guest.kScratch, 0xc0);
  store_le<uint32_t>(guest.ram->host() + guest.kScratch + 4, 0xc2);
  store_le<uint32_t>(guest.ram->host() + guest.kScratch + 8, 0xffffffff);  // no RAM there
  guest.rings[0]->add({{guest.kScratch, 12, false}});
  guest.kick(0);
  ASSERT_TRUE(guest.rings[0]->take());
  EXPECT_EQ(page[0], 0);
  EXPECT_EQ(page[VirtioBalloon::kPage], 0x55);
  EXPECT_EQ(page[2 * VirtioBalloon::kPage], 0);
  guest.rings[1]->add({{guest.kScratch, 4, false}});
  guest.kick(1);
  EXPECT_TRUE(guest.rings[1]->take());

  uint8_t two[4] = {2, 0, 0, 0};
  balloon.config_set(4, two);
  EXPECT_EQ(told, 2u);
  EXPECT_EQ(balloon.actual(), 2u);
  balloon.reset();
  EXPECT_EQ(balloon.actual(), 0u);
  EXPECT_EQ(balloon.target(), 2u);
}

TEST(VirtioBalloonTest, a_request_outside_ram_breaks_it_down) {
  testing::PciGuest guest;
  guest.plug(std::make_unique<VirtioBalloon>(VirtioBalloon::Options{}, RingOptions{}),
             {.interface = VirtioPci::Interface::Modern});
  ASSERT_TRUE(guest.negotiate(kVersion1));
  guest.make_queue(0, 8);
  guest.common(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  guest.rings[0]->add({{0xfff00000, 64, false}});
  guest.kick(0);
  EXPECT_NE(guest.status() & kNeedsReset, 0);
}

}  // namespace
}  // namespace rhea::devices::virtio
