// What decoders of all devices take and give.

#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "../runner.h"
#include "cells.h"
#include "logits.h"
#include "refusals.h"

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

// What is read of a prompt when its slot is opened. The last token is the first row's, so it is not read, unless it is
// the start and the probability of no speech is wanted: that is behind row `start`.
struct PromptTokens {
    std::vector<uint32_t> read;
    int64_t start;
};
PromptTokens tokens_to_read(const std::vector<uint32_t>& prompt, uint32_t start_of_transcript, bool wants_no_speech);

// A row of a decoder's input. Its hypothesis' last cell is its own.
template <typename SlotType>
struct DecoderInput {
    SlotType* slot;
    uint32_t token;
    const int32_t* cells;
    int64_t length;
};

// Rows that read tokens from the first position on, with new cells of a slot.
template <typename SlotType>
std::vector<DecoderInput<SlotType>> inputs_of(SlotType& slot, const std::vector<uint32_t>& tokens, Cells& cells) {
    cells.clear();
    for (size_t i = 0; i < tokens.size(); ++i) cells.push_back(slot.add_cell());
    std::vector<DecoderInput<SlotType>> inputs;
    for (size_t i = 0; i < tokens.size(); ++i)
        inputs.push_back({&slot, tokens[i], cells.data(), static_cast<int64_t>(i) + 1});
    return inputs;
}

// The rows of a step in the order in which they are computed, with new cells.
template <typename SlotType>
struct StepInputs {
    // Of slots by their numbers. Checks each row, and what its rule asks for.
    template <typename Slots>
    StepInputs(
        const StepRows& step, const Slots& slots, const BannedSets& sets, int64_t vocabulary, size_t places
    ) : order(order_by_slot(step)) {
        hypotheses.reserve(step.count);
        for (const size_t i : order) {
            const hs_row& row = step.rows[i];
            const auto found = slots.find(row.slot);
            refuse_if(found == slots.end(), "a slot is not open");
            SlotType& slot = *found->second;
            refuse_if(row.parent >= slot.hypotheses().size(), "a row has no such parent");
            check_rule(row.rule, sets, vocabulary);
            check_places(row.rule, places);
            hypotheses.push_back(slot.hypotheses()[row.parent]);
            hypotheses.back().push_back(slot.add_cell());
            const Cells& cells = hypotheses.back();
            rows.push_back({&slot, row.token, cells.data(), static_cast<int64_t>(cells.size())});
        }
    }

    // The hypotheses become those of their slots; the rows are no longer valid.
    void keep_hypotheses() {
        for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
            while (end < rows.size() && rows[end].slot == rows[begin].slot) ++end;
            const auto first = std::make_move_iterator(hypotheses.begin());
            const auto at = [&](size_t i) { return first + static_cast<int64_t>(i); };
            rows[begin].slot->set_hypotheses(std::vector<Cells>(at(begin), at(end)));
        }
    }

    std::vector<size_t> order;
    std::vector<Cells> hypotheses;
    std::vector<DecoderInput<SlotType>> rows;
};

}  // namespace halkspeech
