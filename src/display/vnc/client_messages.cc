// What a viewer says. RFC 6143 7.5; rfbproto: QEMU's messages, SetDesktopSize.

#include <algorithm>
#include <utility>

#include "display/vnc/client.h"
#include "display/vnc/server.h"

namespace rhea::display::vnc {

namespace {

// More of the clipboard than this is somebody being rude.
constexpr uint32_t kMaxCutText = 1 << 20;

// A place on a screen of `size` pixels.
int place_of(unsigned at, unsigned size) {
  if (size < 2) return 0;
  return static_cast<int>(uint64_t{std::min(at, size - 1)} * kMaxPlace / (size - 1));
}

}  // namespace

size_t Client::message(std::span<const uint8_t> in) {
  switch (in[0]) {
    case kSetPixelFormat: return take_pixel_format(in);
    case kSetEncodings: return take_encodings(in);
    case kFramebufferUpdateRequest: return take_update_request(in);
    case kKeyEvent: return take_key(in);
    case kPointerEvent: return take_pointer(in);
    case kClientCutText: return take_cut_text(in);
    case kSetDesktopSize: return take_desktop_size(in);
    case kQemuClient: return take_qemu_message(in);
    default:  // its length is unknown: there is no going on
      end();
      return in.size();
  }
}

size_t Client::take_pixel_format(std::span<const uint8_t> in) {
  constexpr size_t kSize = 4 + PixelFormat::kWireSize;
  if (in.size() < kSize) return 0;
  const auto format = PixelFormat::parse(in.data() + 4);
  if (!format) {
    end();
    return kSize;
  }
  settings_.format = *format;
  dirty_.add_all();
  news_.cursor = true;
  if (format->uses_map()) {
    Output out;
    format->write_map(out);
    connection_->send(out.view());
  }
  return kSize;
}

size_t Client::take_encodings(std::span<const uint8_t> in) {
  if (in.size() < 4) return 0;
  const size_t count = load_be<uint16_t>(in.data() + 2);
  if (in.size() < 4 + 4 * count) return 0;
  std::vector<int32_t> list(count);
  for (size_t i = 0; i < count; ++i) {
    list[i] = static_cast<int32_t>(load_be<uint32_t>(in.data() + 4 + 4 * i));
  }
  use_encodings(list);
  return 4 + 4 * count;
}

// The first real encoding is the one that the client likes best.
void Client::use_encodings(std::span<const int32_t> list) {
  struct Known {
    int32_t encoding;
    Feature feature;
  };
  constexpr Known kKnown[] = {
      {kDesktopSize, kHasDesktopSize},
      {kExtendedDesktopSize, kHasExtendedSize},
      {kCursor, kHasCursor},
      {kCursorWithAlpha, kHasAlphaCursor},
      {kPointerMotionChange, kHasPointerChange},
      {kExtendedKeyEvent, kHasExtendedKeys},
      {kQemuLedState, kHasIndicators},
      {kQemuAudioEncoding, kHasSound},
  };
  const auto before = std::exchange(features_, {});
  settings_.encoding = kRaw;
  settings_.level = 6;
  bool chosen = false;
  for (const int32_t encoding : list) {
    const bool picture = encoding == kRaw || encoding == kHextile || encoding == kZlib ||
                         encoding == kTight || encoding == kZrle;
    if (picture && !chosen) {
      settings_.encoding = encoding;
      chosen = true;
    }
    if (encoding >= kCompressLevel0 && encoding <= kCompressLevel9) {
      settings_.level = encoding - kCompressLevel0;
    }
    for (const Known& known : kKnown) {
      if (known.encoding == encoding) features_.set(known.feature);
    }
  }
  const auto added = features_ & ~before;
  if (added[kHasExtendedSize]) news_.size = true;
  const Surface& surface = server_.screen().surface();
  if (resizable() && (width_ != surface.width() || height_ != surface.height())) surface_changed();
  if (added[kHasCursor] || added[kHasAlphaCursor]) news_.cursor = true;
  if (added[kHasPointerChange]) news_.pointer_kind = true;
  if (added[kHasExtendedKeys]) news_.extended_keys = true;
  if (added[kHasIndicators]) news_.indicators = true;
  if (added[kHasSound] && server_.sound()) news_.sound = true;
}

size_t Client::take_update_request(std::span<const uint8_t> in) {
  constexpr size_t kSize = 10;
  if (in.size() < kSize) return 0;
  const auto field = [&](size_t at) -> unsigned { return load_be<uint16_t>(in.data() + at); };
  const Rect area{field(2), field(4), field(6), field(8)};
  const bool incremental = in[1] != 0;
  requested_ = requested_ ? requested_->united(area) : area;
  if (!incremental) dirty_.add(area);
  update();
  return kSize;
}

size_t Client::take_key(std::span<const uint8_t> in) {
  constexpr size_t kSize = 8;
  if (in.size() < kSize) return 0;
  keys_.keysym(load_be<uint32_t>(in.data() + 4), in[1] != 0);
  return kSize;
}

size_t Client::take_pointer(std::span<const uint8_t> in) {
  constexpr size_t kSize = 6;
  if (in.size() < kSize) return 0;
  pointer(in[1], load_be<uint16_t>(in.data() + 2), load_be<uint16_t>(in.data() + 4));
  return kSize;
}

void Client::pointer(unsigned buttons_now, unsigned x, unsigned y) {
  InputHub& input = server_.input();
  constexpr int kNoMotion = 0x7fff;  // of clients that send motion: what stands for none
  const auto last = std::exchange(last_place_, std::pair(x, y));
  const auto as_int = [](unsigned value) { return static_cast<int>(value); };
  if (input.wants_places()) {
    input.pointer_absolute(place_of(x, width_), place_of(y, height_));
  } else if (has(kHasPointerChange)) {
    input.pointer_relative(as_int(x) - kNoMotion, as_int(y) - kNoMotion);
  } else if (last) {
    input.pointer_relative(as_int(x) - as_int(last->first), as_int(y) - as_int(last->second));
  }
  buttons(buttons_now);
}

// The wheel's clicks are buttons here.
void Client::buttons(unsigned now) {
  InputHub& input = server_.input();
  struct Wheel {
    unsigned bit;
    int dz, dw;
  };
  constexpr Wheel kWheel[] = {{0x08, -1, 0}, {0x10, 1, 0}, {0x20, 0, -1}, {0x40, 0, 1}};
  constexpr std::pair<unsigned, Button> kButtons[] = {
      {0x01, Button::Left}, {0x02, Button::Middle}, {0x04, Button::Right}, {0x80, Button::Side}};
  const unsigned changed = now ^ std::exchange(buttons_, now);
  for (const auto& [bit, button] : kButtons) {
    if ((changed & bit) != 0) input.button(button, (now & bit) != 0);
  }
  for (const Wheel& wheel : kWheel) {
    if ((changed & now & wheel.bit) != 0) input.wheel(wheel.dz, wheel.dw);
  }
  input.sync();
}

size_t Client::take_cut_text(std::span<const uint8_t> in) {
  constexpr size_t kHeader = 8;
  if (in.size() < kHeader) return 0;
  const uint32_t length = load_be<uint32_t>(in.data() + 4);
  if (length > kMaxCutText) end();
  return kHeader + size_t{length};  // the guest has no clipboard to put it in
}

size_t Client::take_desktop_size(std::span<const uint8_t> in) {
  constexpr size_t kHeader = 8, kScreen = 16;
  if (in.size() < kHeader) return 0;
  const size_t size = kHeader + kScreen * in[6];
  if (in.size() < size) return 0;
  const unsigned width = load_be<uint16_t>(in.data() + 2), height = load_be<uint16_t>(in.data() + 4);
  const bool can = server_.screen().has_source() && width != 0 && height != 0;
  if (can) server_.screen().want_size(width, height);
  news_.resize_answer = true;
  news_.resize_status = can ? kResizeForwarded : kResizeProhibited;
  update();
  return size;
}

size_t Client::take_qemu_message(std::span<const uint8_t> in) {
  constexpr size_t kKeySize = 12;
  if (in.size() < 2) return 0;
  if (in[1] == kQemuExtendedKey) {
    if (in.size() < kKeySize) return 0;
    const bool down = load_be<uint16_t>(in.data() + 2) != 0;
    const uint32_t qnum = load_be<uint32_t>(in.data() + 8);
    if (const auto key = key_by_qnum(qnum)) {
      keys_.key(*key, down);
    } else if (qnum == 0) {
      keys_.keysym(load_be<uint32_t>(in.data() + 4), down);
    }
    return kKeySize;
  }
  if (in[1] == kQemuAudio) return take_sound_message(in);
  end();
  return in.size();
}

}  // namespace rhea::display::vnc
