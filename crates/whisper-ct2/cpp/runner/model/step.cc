#include "step.h"

#include <algorithm>
#include <numeric>

namespace halkspeech {

std::vector<size_t> order_by_slot(const StepRows& step) {
    std::vector<size_t> order(step.count);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return step.rows[a].slot < step.rows[b].slot;
    });
    return order;
}

PromptTokens tokens_to_read(const std::vector<uint32_t>& prompt, uint32_t start_of_transcript, bool wants_no_speech) {
    refuse_if(prompt.empty(), "a prompt is empty");
    const auto start = std::find(prompt.begin(), prompt.end(), start_of_transcript);
    refuse_if(wants_no_speech && start == prompt.end(), "a prompt has no <|startoftranscript|>");
    PromptTokens tokens = {{prompt.begin(), prompt.end() - 1}, start - prompt.begin()};
    if (wants_no_speech && start == prompt.end() - 1) tokens.read.push_back(prompt.back());
    return tokens;
}

}  // namespace halkspeech
