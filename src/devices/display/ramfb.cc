#include "devices/display/ramfb.h"

#include "base/log.h"

namespace rhea::devices {

namespace {

constexpr const char* kFile = "etc/ramfb";
constexpr size_t kConfigSize = 28;
constexpr uint32_t kXr24 = 0x34325258;
constexpr uint32_t kMostPixels = 16000, kBytes = 4;
constexpr unsigned kStillRefreshes = 30;
constexpr int64_t kSlowNs = 100'000'000;

uint32_t be32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 |
         static_cast<uint32_t>(at[2]) << 8 | at[3];
}

}  // namespace

Ramfb::Ramfb(const Wiring& wiring) : wiring_(wiring) {
  FwCfg::Callbacks callbacks;
  callbacks.written = [this](uint64_t, uint64_t) { configured(); };
  wiring_.fw_cfg.set_file(kFile, std::vector<uint8_t>(kConfigSize), true, std::move(callbacks));
  if (wiring_.screen != nullptr) wiring_.screen->set_source(this);
}

Ramfb::~Ramfb() {
  wiring_.fw_cfg.set_file(kFile, std::vector<uint8_t>(kConfigSize));
  if (wiring_.screen != nullptr) wiring_.screen->set_source(nullptr);
}

void Ramfb::reset(bus::ResetKind) {
  address_ = 0;
  width_ = height_ = stride_ = 0;
  frame_.forget();
}

void Ramfb::state(bus::StateVisitor& v) {
  v.field("address", address_);
  v.field("width", width_);
  v.field("height", height_);
  v.field("stride", stride_);
  if (!v.loading()) return;
  if (width_ > kMostPixels || height_ > kMostPixels || stride_ < uint64_t{width_} * kBytes)
    width_ = height_ = 0;
  frame_.forget();
}

void Ramfb::configured() {
  const std::vector<uint8_t>* config = wiring_.fw_cfg.file(kFile);
  if (config == nullptr || config->size() != kConfigSize) return;
  const uint8_t* at = config->data();
  const uint32_t format = be32(at + 8), width = be32(at + 16), height = be32(at + 20);
  uint32_t stride = be32(at + 24);
  if (stride == 0 && width <= kMostPixels) stride = width * kBytes;
  const bool good = format == kXr24 && width >= 16 && height >= 16 && width <= kMostPixels &&
                    height <= kMostPixels && stride >= width * kBytes;
  if (!good) {
    guest_error("ramfb: {}x{}, stride {}, format {:#x}: refused", width, height, stride, format);
    return;
  }
  address_ = uint64_t{be32(at)} << 32 | be32(at + 4);
  width_ = width;
  height_ = height;
  stride_ = stride;
  frame_.forget();
  still_ = 0;
  if (wiring_.screen != nullptr) wiring_.screen->wake();
}

// The host's address, if the whole picture lies in one piece of memory.
const uint8_t* Ramfb::pixels() const {
  if (width_ == 0 || height_ == 0) return nullptr;
  const uint64_t size = uint64_t{stride_} * (height_ - 1) + uint64_t{width_} * kBytes;
  const auto view = wiring_.memory.view();
  const memory::FlatRange* range = view->find(address_);
  if (range == nullptr || range->ram == nullptr) return nullptr;
  const uint64_t inside = address_ - range->start;
  if (range->size - inside < size) return nullptr;
  return range->ram->host() + range->offset + inside;
}

std::optional<int64_t> Ramfb::refresh() {
  const uint8_t* from = pixels();
  if (from == nullptr) return kSlowNs;
  const LinearFrame::Layout layout{width_, height_, PixelFormat::Xrgb32, stride_};
  still_ = frame_.draw(*wiring_.screen, layout, from, nullptr) ? 0 : still_ + 1;
  return still_ < kStillRefreshes ? 0 : kSlowNs;
}

}  // namespace rhea::devices
