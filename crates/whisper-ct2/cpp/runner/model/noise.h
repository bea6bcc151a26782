// Random numbers of a draw, computed from its key and the token: the same bits on every device. The definition, and the
// test numbers, are those of `search/random.rs`; a compiler must not contract a product and a sum (-ffp-contract=off).

#pragma once

#include <cstdint>

namespace halkspeech {

// Of the Gumbel distribution, above -2.83 and below the maximum.
float gumbel_noise(uint64_t key, uint32_t token);

constexpr float max_gumbel_noise = 16.65f;

}  // namespace halkspeech
