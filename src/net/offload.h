// What a sender left to do in a frame: a checksum to fill in, a large TCP payload to cut into segments.
// The work is done here, once, for whoever is at the other end and cannot take such frames.
//
// RFC 1071 (Internet checksum), RFC 9293 (TCP), RFC 791, RFC 8200. Virtual I/O Device 1.1, 5.1.6 has the same
// description of a frame. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace rhea::net {

using Frame = std::span<const uint8_t>;

inline constexpr size_t kEthernetHeader = 14;
inline constexpr size_t kSmallestFrame = 60;         // without FCS
inline constexpr size_t kLargestFrame = 65550 + 18;  // 64 KiB of IP, Ethernet header, a VLAN tag
inline constexpr size_t kOrdinaryFrame = 1518;       // MTU 1500 with a VLAN tag, without FCS

enum class Gso : uint8_t { None, Tcp4, Tcp6 };

struct Offload {
  // The Internet checksum of everything from checksum_start on is to be stored at checksum_start +
  // checksum_offset, where the pseudo header's sum already stands.
  bool checksum_wanted = false;
  // Somebody has verified the transport checksum, or it never left this host.
  bool checksum_good = false;
  uint16_t checksum_start = 0, checksum_offset = 0;
  Gso gso = Gso::None;
  uint16_t segment_size = 0;  // payload bytes of a segment
  bool operator==(const Offload&) const = default;
};

// What the receiver of frames can take as it is.
struct Takes {
  bool partial_checksum = false;  // checksum_wanted
  bool large = false;             // gso other than None (checksums are then filled in for the whole)
};

// Ones' complement sum of big-endian words, folded to 16 bits; `carry` is an earlier sum. All parts but the
// last have an even length.
uint16_t checksum_add(std::span<const uint8_t> bytes, uint16_t carry = 0);

// Where the parts of an IP packet in an Ethernet frame are.
struct Headers {
  uint8_t version = 0;   // 4, 6; 0: no IP, or cut off
  uint8_t protocol = 0;  // of the transport
  bool fragment = false;
  size_t ip = 0;  // offsets in the frame
  size_t transport = 0;
  size_t payload = 0;  // behind the TCP or UDP header; 0 if it is neither
  size_t end = 0;      // of the packet, at most the frame's size
};
Headers parse_headers(Frame frame);

// The sum of the pseudo header for a transport packet of `length` bytes.
uint16_t pseudo_header_sum(Frame frame, const Headers& headers, size_t length);

enum class ChecksumState : uint8_t { Unknown, Good, Bad };
ChecksumState verify_ip_checksum(Frame frame, const Headers& headers);
ChecksumState verify_transport_checksum(Frame frame, const Headers& headers);

// Makes the lengths and checksums of an IP packet with a TCP or UDP payload right as one large packet, up to
// the frame's end. False: it is no such packet, or too large.
bool complete_packet(std::span<uint8_t> frame);

// Calls `sink` with frames that hold nothing that `takes` excludes; `offload` says what is open in `frame`.
// A description that does not fit the frame is dropped (false).
using FrameSink = std::function<void(Frame frame, const Offload& offload)>;
bool resolve(Frame frame, const Offload& offload, const Takes& takes, const FrameSink& sink);

}  // namespace rhea::net
