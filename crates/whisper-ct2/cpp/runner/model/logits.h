// What becomes of a row's logits: penalties, bans, the time stamps' contest, and the tokens that are picked.

#pragma once

#include <cstdint>
#include <vector>

#include "../kernels/kernels.h"
#include "../runner.h"

namespace halkspeech {

struct Picked {
    std::vector<uint32_t> tokens;   // the best first, or the one that was drawn
    std::vector<float> log_probs;
};

// Sets of tokens that rules name by number.
class BannedSets {
public:
    uint32_t add(std::vector<uint32_t> tokens);
    const std::vector<uint32_t>& at(uint32_t set) const { return sets_.at(set); }

private:
    std::vector<std::vector<uint32_t>> sets_;
};

// Throws `std::invalid_argument` for tokens that the vocabulary does not have, an unknown set, or no k.
void check_rule(const hs_rule& rule, const BannedSets& sets, int64_t vocabulary);

// Applies a rule, that was checked, to a row of logits, and writes the picked tokens.
void apply_rule(
    const Kernels& kernels, const hs_rule& rule, const BannedSets& sets, uint32_t timestamp_begin, int64_t vocabulary,
    float* logits, uint32_t* tokens, float* log_probs
);

// Standard Gumbel noise of a token for a key: -log(-log(u)), where u = (b + 0.5) / 2^24, and b are the upper 24 bits of
// the splitmix64 finalizer of key + (token + 1) * 0x9e3779b97f4a7c15.
float gumbel(uint64_t key, uint32_t token);

}  // namespace halkspeech
