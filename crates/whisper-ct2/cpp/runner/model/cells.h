// Which cells of a slot are in use. A cell has the self-attention keys and values of one token of one hypothesis, where
// they were first written. A hypothesis is a list of cells; nothing is copied when it forks, and a cell is free again
// when no open hypothesis has it.

#pragma once

#include <cstdint>
#include <vector>

namespace halkspeech {

// The cells of a hypothesis, in the order of its tokens.
using Cells = std::vector<int32_t>;

class CellUse {
public:
    // Memory grows by this number of cells.
    static constexpr int64_t cells_of_block = 16;

    int64_t count() const { return count_; }
    bool has_free() const { return !free_.empty(); }
    // Makes room for another block. # Errors: out of memory.
    void reserve_block();
    // Adds a block of free cells, for which there is room.
    void add_block() noexcept;
    // A cell that no open hypothesis has; there is one.
    int32_t take();

    // The hypotheses of the last step.
    const std::vector<Cells>& hypotheses() const { return hypotheses_; }
    // Replaces the hypotheses; cells that none of them has are free.
    void set_hypotheses(std::vector<Cells> hypotheses);

private:
    int64_t count_ = 0;
    Cells free_;
    std::vector<Cells> hypotheses_;
};

}  // namespace halkspeech
