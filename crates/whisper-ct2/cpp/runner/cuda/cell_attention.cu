// Self-attention of the decoder: rows attend to the cells of their hypotheses, wherever these lie.
//
// Bound by the memory's rate: each row reads its own keys and values once, 4 * width bytes a cell and layer.

#include "../../cuda/head.cuh"
#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr int warps = 4;

// A warp for each row and head; eight threads for each cell.
__global__ void attend_to_cells_kernel(
    const RowInput* __restrict__ rows, const int32_t* __restrict__ cell_lists, int64_t count, int64_t max_length,
    const __half* __restrict__ projected, CellMemory memory, int64_t layer, int64_t heads, float scale,
    __half* __restrict__ context
) {
    HALKSPEECH_DYNAMIC_SHARED(float, shared);
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes, group = lane / half8_width,
              part = lane % half8_width;
    const int64_t index = static_cast<int64_t>(blockIdx.x) * warps + warp;
    if (index >= count) return;
    const int64_t row = index / heads, head = index % heads, width = heads * head_width;
    const RowInput input = rows[row];
    const int32_t* cells = cell_lists + input.cells;
    const int64_t length = input.length, offset = head * head_width + part * half8_width;
    float* scores = shared + warp * max_length;

    const Float8 query = load_half8(projected + row * 3 * width + offset);
    constexpr int groups = lanes / half8_width;
    #pragma unroll 4
    for (int64_t first = 0; first < length; first += groups) {
        // All threads of the warp take part in the dot product, so excess groups repeat the last cell.
        const int64_t t = first + group < length ? first + group : length - 1;
        const float score = dot(query, load_half8(memory.at(layer, cells[t]) + offset));
        if (part == 0 && t == first + group) scores[t] = score * scale;
    }
    __syncwarp();
    const float sum = softmax_numerators(scores, length);
    __syncwarp();
    Float8 weighted_sum = {};
    #pragma unroll 4
    for (int64_t t = group; t < length; t += groups) {
        const Float8 value = load_half8(memory.at(layer, cells[t]) + width + offset);
        add_weighted(weighted_sum, scores[t], value);
    }
    __syncwarp();
    sum_groups(weighted_sum);
    if (group > 0) return;
    for (int i = 0; i < half8_width; ++i)
        context[row * width + offset + i] = __float2half_rn(weighted_sum.values[i] / sum);
}

}  // namespace

void attend_to_cells(
    const Stream& stream, const DecoderRows& rows, const __half* projected, const CellMemory& memory, int64_t layer,
    int64_t heads, float scale, __half* context
) {
    const int64_t count = rows.count * heads;
    const auto blocks = static_cast<unsigned>((count + warps - 1) / warps);
    const size_t shared = static_cast<size_t>(warps * rows.max_length) * sizeof(float);
    launch(
        stream, {dim3(blocks), warps * lanes, shared}, attend_to_cells_kernel, rows.inputs, rows.cells, count,
        rows.max_length, projected, memory, layer, heads, scale, context
    );
}

}  // namespace halkspeech::cuda
