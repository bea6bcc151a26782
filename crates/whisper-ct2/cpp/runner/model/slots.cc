#include "slots.h"

namespace halkspeech {

int32_t Slot::add_cell() {
    if (free_.empty()) {
        const int64_t first = cells();
        blocks_.emplace_back(layers_ * cells_of_block * 2 * width_);
        for (int64_t i = cells_of_block; i > 0; --i) free_.push_back(static_cast<int32_t>(first + i - 1));
    }
    const int32_t cell = free_.back();
    free_.pop_back();
    return cell;
}

void Slot::set_hypotheses(std::vector<Cells> hypotheses) {
    std::vector<bool> is_used(static_cast<size_t>(cells()));
    for (const Cells& hypothesis : hypotheses) {
        for (const int32_t cell : hypothesis) is_used[static_cast<size_t>(cell)] = true;
    }
    hypotheses_ = std::move(hypotheses);
    free_.clear();
    for (size_t cell = is_used.size(); cell > 0; --cell) {
        if (!is_used[cell - 1]) free_.push_back(static_cast<int32_t>(cell - 1));
    }
}

int64_t Slot::bytes() const {
    int64_t bytes = 0;
    for (const auto& block : blocks_) bytes += block.bytes();
    return bytes;
}

}  // namespace halkspeech
