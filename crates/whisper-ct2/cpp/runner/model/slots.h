// Slots: texts that are being written. A slot keeps the self-attention keys and values of its hypotheses in cells, one
// for each token of each hypothesis, where they were first written. A hypothesis is a list of cells; nothing is copied
// when it forks, and a cell is free again when no open hypothesis has it.

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "buffer.h"
#include "encoding.h"

namespace halkspeech {

// The cells of a hypothesis, in the order of its tokens.
using Cells = std::vector<int32_t>;

class Slot {
public:
    Slot(std::shared_ptr<const Encoding> encoding, int64_t layers, int64_t width)
        : encoding_(std::move(encoding)), layers_(layers), width_(width) {}

    const Encoding& encoding() const { return *encoding_; }
    // The hypotheses of the last step.
    const std::vector<Cells>& hypotheses() const { return hypotheses_; }

    // A cell that no open hypothesis has.
    int32_t add_cell();
    // Keys of all heads, then values, of a cell in a layer.
    float* cell(int64_t layer, int32_t cell) {
        const int64_t at = cell % cells_of_block;
        return blocks_[static_cast<size_t>(cell / cells_of_block)].data() + (layer * cells_of_block + at) * 2 * width_;
    }
    // Replaces the hypotheses; cells that none of them has are free.
    void set_hypotheses(std::vector<Cells> hypotheses);

    int64_t cells() const { return static_cast<int64_t>(blocks_.size()) * cells_of_block; }
    int64_t bytes() const;

private:
    static constexpr int64_t cells_of_block = 16;

    std::shared_ptr<const Encoding> encoding_;
    int64_t layers_, width_;
    std::vector<Buffer<float>> blocks_;
    Cells free_;
    std::vector<Cells> hypotheses_;
};

}  // namespace halkspeech
