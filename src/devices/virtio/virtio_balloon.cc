#include "devices/virtio/virtio_balloon.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>

namespace rhea::devices::virtio {

namespace {

constexpr uint16_t kRingSize = 128;
constexpr unsigned kInflate = 0, kDeflate = 1;
constexpr uint64_t kDeflateOnOom = uint64_t{1} << 2;
constexpr unsigned kConfigBytes = 8, kActualAt = 4;  // num_pages, actual
constexpr uint64_t kMostBytes =
    64 * 1024;  // of a request, 64 MiB of pages: the machine waits while it is served

}  // namespace

VirtioBalloon::VirtioBalloon(Options options, const RingOptions& ring)
    : VirtioDevice(
          {.id = kIdBalloon, .name = "virtio-balloon", .class_code = 0x00ff00, .config_bytes = kConfigBytes},
          ring),
      options_(std::move(options)) {
  add_queue(kRingSize);
  add_queue(kRingSize);
}

uint64_t VirtioBalloon::device_features() const {
  return options_.deflate_on_oom ? kDeflateOnOom : 0;
}

void VirtioBalloon::set_target(uint32_t pages) {
  target_ = pages;
  config_changed();
}

void VirtioBalloon::fill_config(std::span<uint8_t> config) const {
  store_le<uint32_t>(config.data(), target_);
  store_le<uint32_t>(config.data() + kActualAt, actual_);
}

void VirtioBalloon::config_written(unsigned offset, std::span<const uint8_t> bytes) {
  std::array<uint8_t, kConfigBytes> config{};
  fill_config(config);
  std::ranges::copy(bytes, config.begin() + offset);
  const auto now = load_le<uint32_t>(config.data() + kActualAt);
  if (now == actual_) return;
  actual_ = now;
  if (options_.changed) options_.changed(actual_);
}

void VirtioBalloon::device_reset() {
  actual_ = 0;  // a guest that begins anew has all its memory
}

void VirtioBalloon::device_state(bus::StateVisitor& v) {
  v.field("target", target_);
  v.field("actual", actual_);
}

// A page that the guest says it does not use: the host may have it, the guest finds zeros when it is back.
void VirtioBalloon::give_back(uint64_t address) {
  std::vector<iovec> places;
  if (!ram().find_writable(address, kPage, places) || places.size() != 1) return;
  // SAFETY: only to see whether the host's page is the guest's page, as it is of RAM.
  if (reinterpret_cast<uintptr_t>(places[0].iov_base) % kPage != 0) return;
  // The first is for files that are shared, and fails for other memory.
  if (::madvise(places[0].iov_base, kPage, MADV_REMOVE) != 0)
    static_cast<void>(::madvise(places[0].iov_base, kPage, MADV_DONTNEED));
  ram().written(address, kPage);
}

// A request is an array of page numbers (Linux's have 256).
bool VirtioBalloon::take_pages(const Chain& chain) {
  if (chain.out_bytes > kMostBytes) return false;
  std::array<uint8_t, 4096> numbers;
  for (uint64_t at = 0; at < chain.out_bytes;) {
    const auto room = std::span(numbers).first(std::min<uint64_t>(numbers.size(), chain.out_bytes - at));
    const auto copied = copy_from(ram(), chain.out, at, room);
    if (!copied) return false;
    for (uint64_t i = 0; i + 4 <= *copied; i += 4) {
      give_back(uint64_t{load_le<uint32_t>(numbers.data() + i)} * kPage);
    }
    if (*copied == 0) break;
    at += *copied;
  }
  return true;
}

void VirtioBalloon::queue_kicked(unsigned index) {
  Virtqueue& ring = queue(index);
  do {
    ring.disable_kicks();
    while (const std::optional<Chain> chain = ring.pop()) {
      // What is deflated is there: it is the host's again only until the guest touches it.
      if (index == kInflate && !take_pages(*chain)) return break_down("a request is too long or not in RAM");
      ring.push(*chain, 0);
    }
  } while (ring.enable_kicks());
}

}  // namespace rhea::devices::virtio
