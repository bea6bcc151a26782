// The cells of slots when allocations fail: each failure is an exception, and nothing is lost or taken twice by it.
// With GPU=host (build.sh) the slots of a GPU, too.
// usage: cells

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <set>
#include <string>

#include "model/slots.h"
#include "tests/features.h"
#ifdef HALKSPEECH_HOST_CUDA
#include "cuda/cell_pool.h"
#endif

using namespace halkspeech;
using test::expect;

namespace {

// Further allocations that succeed; negative: all.
int64_t allocations_left = -1;

}  // namespace

void* operator new(size_t size) {
    if (allocations_left == 0) throw std::bad_alloc();
    if (allocations_left > 0) --allocations_left;
    void* memory = std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

constexpr int64_t layers = 2, width = 64;
constexpr int blocks = 9, cells = blocks * static_cast<int>(CellUse::cells_of_block);

// Does the work, of which the allocation after `count` others fails, and does it again if it failed.
template <typename Work>
bool fails_once(int64_t count, Work work) {
    allocations_left = count;
    try {
        work();
        allocations_left = -1;
        return false;
    } catch (const std::bad_alloc&) {
        allocations_left = -1;
    }
    work();
    return true;
}

// Takes the cells of a slot, each after a failure if there is an allocation, and frees all but the first.
template <typename SlotType, typename Taken>
void take_all(SlotType& slot, const std::string& what, Taken taken) {
    int failures = 0;
    std::set<int32_t> all;
    for (int i = 0; i < cells; ++i) {
        int32_t cell = -1;
        for (int64_t count = 0; count < 8; ++count) {
            allocations_left = count;
            try {
                cell = slot.add_cell();
                break;
            } catch (const std::bad_alloc&) {
                ++failures;
            }
        }
        allocations_left = -1;
        taken(cell);
        expect(all.insert(cell).second, what + ": a cell is taken twice");
    }
    expect(failures >= blocks, what + ": allocations fail");
    expect(*all.begin() == 0 && *all.rbegin() == cells - 1, what + ": cells of blocks that have no memory");
}

// Frees all cells but those of a hypothesis, and takes the others again.
template <typename SlotType>
void free_cells(SlotType& slot, const std::string& what) {
    for (int64_t count = 0; count < 6; ++count) {
        fails_once(count, [&] { slot.set_hypotheses({{0, 5}}); });
        std::set<int32_t> all = {0, 5};
        for (int i = 2; i < cells; ++i) all.insert(slot.add_cell());
        expect(all.size() == cells && *all.rbegin() == cells - 1, what + ": freed cells are taken again");
    }
}

void test_cpu() {
    Slot slot(nullptr, layers, width);
    take_all(slot, "CPU", [&](int32_t cell) { slot.cell(layers - 1, cell)[2 * width - 1] = 1; });
    free_cells(slot, "CPU");
    expect(slot.cells() == cells, "CPU: blocks");
    expect(slot.bytes() == cells * layers * 2 * width * static_cast<int64_t>(sizeof(float)), "CPU: bytes");
}

#ifdef HALKSPEECH_HOST_CUDA
void test_gpu() {
    const auto stream = std::make_shared<cuda::Stream>(0);
    const int64_t before = host_cuda::allocated_bytes();
    {
        constexpr int64_t pool_width = width * 1024;
        cuda::CellPool pool(stream, layers, pool_width);
        const auto cells_of_chunk = static_cast<int32_t>((int64_t{64} << 20) / pool.cell_bytes());
        expect(cells_of_chunk < cells, "the cells need several chunks");
        std::set<int32_t> in_pool;
        const auto take = [&](cuda::GpuSlot& slot) {
            take_all(slot, "GPU", [&](int32_t cell) {
                const int32_t number = slot.in_pool(cell);
                expect(in_pool.insert(number).second, "GPU: two slots have one cell");
                // Ends the program if the chunk was freed.
                __half* chunk = pool.chunks().at(static_cast<size_t>(number / cells_of_chunk));
                chunk[number % cells_of_chunk * layers * pool_width * 2] = __half();
            });
        };
        for (const bool is_again : {false, true}) {
            cuda::GpuSlot first(nullptr, pool), second(nullptr, pool);
            take(first);
            take(second);
            free_cells(first, "GPU");
            const int64_t used = host_cuda::allocated_bytes() - before;
            expect(used >= 2 * cells * pool.cell_bytes() && used < 3 * cells * pool.cell_bytes(), "GPU: bytes");
            if (!is_again) in_pool.clear();
        }
        // All blocks are back.
        expect(pool.chunks().size() == 1, "GPU: unused chunks are freed");
    }
    expect(host_cuda::allocated_bytes() == before, "GPU: all memory is freed");
}
#endif

}  // namespace

int main() {
    test_cpu();
#ifdef HALKSPEECH_HOST_CUDA
    test_gpu();
#endif
    std::printf("%d failures\n", test::failures);
    return test::failures == 0 ? 0 : 1;
}
