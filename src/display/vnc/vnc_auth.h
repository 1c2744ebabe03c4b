// The proof of a password in VNC authentication: the challenge encrypted by DES with the password as key.
// RFC 6143 7.2.2; FIPS 46-3. Each byte of the key is taken with its bits reversed, as every implementation
// does. A weak scheme: it keeps out accidents, not attackers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace rhea::display::vnc {

inline constexpr size_t kChallengeSize = 16;

// One block of DES in its electronic codebook.
uint64_t des_encrypt(uint64_t key, uint64_t block);

// The answer that is expected to `challenge`. Of the password 8 bytes count.
std::array<uint8_t, kChallengeSize> vnc_auth_answer(std::span<const uint8_t, kChallengeSize> challenge,
                                                    std::string_view password);

}  // namespace rhea::display::vnc
