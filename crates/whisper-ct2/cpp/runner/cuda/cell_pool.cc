#include "cell_pool.h"

#include <algorithm>

namespace halkspeech::cuda {

namespace {

// Bytes of a chunk, about; a chunk has 2^min_shift cells at least.
constexpr int64_t chunk_bytes = int64_t{64} << 20;
constexpr int32_t min_shift = 6, max_shift = 14;

constexpr auto cells_of_block = static_cast<int32_t>(CellUse::cells_of_block);
static_assert((1 << min_shift) % cells_of_block == 0);

}  // namespace

CellPool::CellPool(SharedStream stream, int64_t layers, int64_t width)
    : stream_(std::move(stream)), layers_(layers), cell_width_(2 * width), shift_(min_shift) {
    while (shift_ < max_shift && (cell_bytes() << (shift_ + 1)) <= chunk_bytes) ++shift_;
}

int32_t CellPool::take() {
    if (free_.empty()) add_chunk();
    const int32_t block = free_.back();
    free_.pop_back();
    return block;
}

void CellPool::give_back(int32_t block) noexcept {
    // There is room: a block that was taken had a place.
    free_.push_back(block);
    const size_t blocks_of_chunk = (size_t{1} << shift_) / cells_of_block;
    if (chunks_.size() < 2 || free_.size() < chunks_.size() * blocks_of_chunk) return;
    // Nothing is written any more: one chunk stays.
    chunks_.resize(1);
    addresses_.resize(1);
    free_.erase(
        std::remove_if(
            free_.begin(), free_.end(),
            [&](int32_t of_chunk) { return of_chunk >= static_cast<int32_t>(blocks_of_chunk); }
        ),
        free_.end()
    );
}

void CellPool::add_chunk() {
    const int64_t cells = int64_t{1} << shift_;
    DeviceBuffer<__half> chunk(stream_, layers_ * cells * cell_width_);
    const auto blocks = static_cast<int32_t>(cells / cells_of_block);
    const auto first = static_cast<int32_t>(chunks_.size()) * blocks;
    // Nothing below fails.
    free_.reserve(static_cast<size_t>(first + blocks));
    addresses_.reserve(addresses_.size() + 1);
    chunks_.reserve(chunks_.size() + 1);
    addresses_.push_back(chunk.data());
    chunks_.push_back(std::move(chunk));
    for (int32_t i = blocks; i > 0; --i) free_.push_back(first + i - 1);
}

int32_t GpuSlot::add_cell() {
    if (!use_.has_free()) {
        // A block that is taken has a place: nothing after `take` throws.
        use_.reserve_block();
        blocks_.reserve(blocks_.size() + 1);
        blocks_.push_back(pool_.take());
        use_.add_block();
    }
    return use_.take();
}

}  // namespace halkspeech::cuda
