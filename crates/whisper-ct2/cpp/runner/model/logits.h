// What becomes of a row's logits: penalties, bans, the time stamps' contest, and the tokens that are picked.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../kernels/kernels.h"
#include "../runner.h"

namespace halkspeech {

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
// Throws `std::invalid_argument` if a rule asks for more candidates than there are places.
void check_places(const hs_rule& rule, size_t places);

// A row of logits, one for each token of the vocabulary.
struct Logits {
    float* values;
    int64_t count;
};

// Applies a rule, that was checked, to a row, and writes the candidates. Returns their number.
uint32_t apply_rule(
    const Kernels& kernels, const hs_rule& rule, const BannedSets& sets, const Logits& logits, uint32_t* tokens,
    float* log_probs
);

}  // namespace halkspeech
