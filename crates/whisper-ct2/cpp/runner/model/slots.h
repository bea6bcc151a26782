// Slots: texts that are being written. A slot keeps the self-attention keys and values of its hypotheses in cells, one
// for each token of each hypothesis (cells.h).

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "buffer.h"
#include "cells.h"
#include "encoding.h"

namespace halkspeech {

class Slot {
public:
    Slot(std::shared_ptr<const Encoding> encoding, int64_t layers, int64_t width)
        : encoding_(std::move(encoding)), layers_(layers), width_(width) {}

    const Encoding& encoding() const { return *encoding_; }
    // The hypotheses of the last step.
    const std::vector<Cells>& hypotheses() const { return use_.hypotheses(); }

    // A cell that no open hypothesis has.
    int32_t add_cell();
    // Keys of all heads, then values, of a cell in a layer.
    float* cell(int64_t layer, int32_t cell) {
        const int64_t at = cell % cells_of_block;
        return blocks_[static_cast<size_t>(cell / cells_of_block)].data() + (layer * cells_of_block + at) * 2 * width_;
    }
    // Replaces the hypotheses; cells that none of them has are free.
    void set_hypotheses(std::vector<Cells> hypotheses) { use_.set_hypotheses(std::move(hypotheses)); }

    int64_t cells() const { return use_.count(); }
    int64_t bytes() const;

private:
    static constexpr int64_t cells_of_block = CellUse::cells_of_block;

    std::shared_ptr<const Encoding> encoding_;
    int64_t layers_, width_;
    std::vector<Buffer<float>> blocks_;
    CellUse use_;
};

}  // namespace halkspeech
