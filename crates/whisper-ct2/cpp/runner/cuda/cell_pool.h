// The memory of a decoder's cells on a GPU: blocks of cells, which slots take and give back.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../model/cells.h"
#include "encoder.h"
#include "kernels.h"
#include "memory.h"

namespace halkspeech::cuda {

class CellPool {
public:
    CellPool(SharedStream stream, int64_t layers, int64_t width);

    // The number of a free block of `CellUse::cells_of_block` cells, the first of which has the number of the block
    // times that. # Errors: out of memory.
    int32_t take();
    void give_back(int32_t block) noexcept;

    int64_t cell_bytes() const { return layers_ * cell_width_ * static_cast<int64_t>(sizeof(__half)); }
    // The addresses of the chunks, for `CellMemory`.
    const std::vector<__half*>& chunks() const { return addresses_; }
    // With the addresses on the GPU.
    CellMemory memory(__half* const* chunks) const { return {chunks, shift_, cell_width_}; }

private:
    void add_chunk();

    SharedStream stream_;
    int64_t layers_, cell_width_;
    int32_t shift_;
    std::vector<DeviceBuffer<__half>> chunks_;
    std::vector<__half*> addresses_;
    std::vector<int32_t> free_;
};

// A text that is being written.
class GpuSlot {
public:
    GpuSlot(std::shared_ptr<const GpuEncoding> encoding, CellPool& pool)
        : encoding_(std::move(encoding)), pool_(pool) {}
    ~GpuSlot() {
        for (const int32_t block : blocks_) pool_.give_back(block);
    }
    GpuSlot(const GpuSlot&) = delete;
    GpuSlot& operator=(const GpuSlot&) = delete;

    const GpuEncoding& encoding() const { return *encoding_; }
    int64_t cells() const { return use_.count(); }
    const std::vector<Cells>& hypotheses() const { return use_.hypotheses(); }
    void set_hypotheses(std::vector<Cells> hypotheses) { use_.set_hypotheses(std::move(hypotheses)); }
    // A cell of the slot that no open hypothesis has.
    int32_t add_cell();
    // Its number in the pool.
    int32_t in_pool(int32_t cell) const {
        constexpr auto size = static_cast<int32_t>(CellUse::cells_of_block);
        return blocks_[static_cast<size_t>(cell / size)] * size + cell % size;
    }

private:
    std::shared_ptr<const GpuEncoding> encoding_;
    CellPool& pool_;
    std::vector<int32_t> blocks_;
    CellUse use_;
};

}  // namespace halkspeech::cuda
