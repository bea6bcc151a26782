// What a step takes and gives, on any device.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../runner.h"

namespace halkspeech {

// Rows of a step, and where their candidates go.
struct StepRows {
    const hs_row* rows;
    size_t count;
};
struct StepCandidates {
    size_t stride;
    uint32_t* counts;
    uint32_t* tokens;
    float* log_probs;
};

// Attention weights before the softmax, of the model's alignment heads: [heads, rows, positions].
struct AlignmentScores {
    int64_t rows, positions;
    std::vector<float> values;
};

// The order in which rows are computed: those of a slot stand together, otherwise as they are.
std::vector<size_t> order_by_slot(const StepRows& step);

}  // namespace halkspeech
