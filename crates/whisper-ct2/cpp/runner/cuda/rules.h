// The rules of a step's rows as lists for a GPU.

#pragma once

#include <cstdint>
#include <vector>

#include "../model/logits.h"
#include "kernels.h"
#include "memory.h"

namespace halkspeech::cuda {

// Sets of tokens that are on the GPU, one behind the other: set i begins at `begins[i]`.
struct SetPlaces {
    const std::vector<uint32_t>& begins;
    const BannedSets& sets;
};

class RuleLists {
public:
    // Adds a rule that was checked.
    void add(const hs_rule& rule, const SetPlaces& sets);

    void add_to(Tables& tables);
    // After the tables are sent.
    RuleTables on_gpu(const Tables& tables, const uint32_t* sets) const;

private:
    std::vector<RowRule> rules_;
    std::vector<uint32_t> tokens_;
    std::vector<hs_range> ranges_;
    size_t rules_place_ = 0, tokens_place_ = 0, ranges_place_ = 0;
};

}  // namespace halkspeech::cuda
