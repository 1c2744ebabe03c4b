// How many far links (LinkSite) the code cache can hold, and how their slots in each Context are grouped.
#pragma once

namespace rhea::dbt {

inline constexpr unsigned kFarSlots = 1 << 18;
inline constexpr unsigned kFarChunkBits = 6;
inline constexpr unsigned kFarChunk = 1 << kFarChunkBits;  // slots that share a dirty byte and a bank

}  // namespace rhea::dbt
