#include "cells.h"

#include <cstddef>
#include <utility>

namespace halkspeech {

void CellUse::reserve_block() {
    // For all cells, so that no cell is lost when they become free.
    free_.reserve(static_cast<size_t>(count_ + cells_of_block));
}

void CellUse::add_block() noexcept {
    for (int64_t i = cells_of_block; i > 0; --i) free_.push_back(static_cast<int32_t>(count_ + i - 1));
    count_ += cells_of_block;
}

int32_t CellUse::take() {
    const int32_t cell = free_.back();
    free_.pop_back();
    return cell;
}

void CellUse::set_hypotheses(std::vector<Cells> hypotheses) {
    std::vector<bool> is_used(static_cast<size_t>(count_));
    for (const Cells& hypothesis : hypotheses) {
        for (const int32_t cell : hypothesis) is_used[static_cast<size_t>(cell)] = true;
    }
    hypotheses_ = std::move(hypotheses);
    free_.clear();
    for (size_t cell = is_used.size(); cell > 0; --cell) {
        if (!is_used[cell - 1]) free_.push_back(static_cast<int32_t>(cell - 1));
    }
}

}  // namespace halkspeech
