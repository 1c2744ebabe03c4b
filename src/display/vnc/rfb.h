// The numbers of the remote framebuffer protocol. RFC 6143; the extensions as in the community's rfbproto
// (github.com/rfbproto/rfbproto) of 2022.
#pragma once

#include <cstdint>

namespace rhea::display::vnc {

enum Security : uint8_t { kSecurityNone = 1, kSecurityVncAuth = 2 };

enum ClientMessage : uint8_t {
  kSetPixelFormat = 0,
  kSetEncodings = 2,
  kFramebufferUpdateRequest = 3,
  kKeyEvent = 4,
  kPointerEvent = 5,
  kClientCutText = 6,
  kEnableContinuousUpdates = 150,
  kClientFence = 248,
  kXvp = 250,
  kSetDesktopSize = 251,
  kQemuClient = 255,
};
enum QemuClientMessage : uint8_t { kQemuExtendedKey = 0, kQemuAudio = 1 };
enum QemuAudioMessage : uint16_t { kAudioEnable = 0, kAudioDisable = 1, kAudioSetFormat = 2 };
enum QemuAudioOperation : uint16_t { kAudioEnd = 0, kAudioBegin = 1, kAudioData = 2 };

enum ServerMessage : uint8_t {
  kFramebufferUpdate = 0,
  kSetColourMapEntries = 1,
  kQemuServer = 255,
};

enum Encoding : int32_t {
  kRaw = 0,
  kHextile = 5,
  kZlib = 6,
  kTight = 7,
  kZrle = 16,
  kCompressLevel0 = -256,  // up to 9 above it
  kCompressLevel9 = -247,
  kDesktopSize = -223,
  kCursor = -239,
  kPointerMotionChange = -257,
  kExtendedKeyEvent = -258,
  kQemuAudioEncoding = -259,
  kQemuLedState = -261,
  kExtendedDesktopSize = -308,
  kCursorWithAlpha = -314,
};

// ExtendedDesktopSize: why it was sent, and what became of the client's wish.
enum ResizeReason : uint16_t { kResizedByServer = 0, kResizedByThisClient = 1 };
enum ResizeStatus : uint16_t { kResizeDone = 0, kResizeProhibited = 1, kResizeForwarded = 4 };

}  // namespace rhea::display::vnc
