// Cross-attention of the decoder: the rows of a window attend to its encoding at its own length.
//
// Bound by the memory's rate: a block reads the keys and values of its head once for up to eight rows.

#include <algorithm>
#include <stdexcept>

#include "../../cuda/head.cuh"
#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr int warps = 8;

// A block for each group of `count` rows and each head; eight threads for each position.
template <int count>
__global__ void attend_to_encodings_kernel(
    const QueryGroup* __restrict__ query_groups, const __half* __restrict__ queries, int64_t layer, int64_t heads,
    float scale, __half* __restrict__ context
) {
    HALKSPEECH_DYNAMIC_SHARED(float, shared);  // scores [count, length], later sums of warps [warps, count, head width]
    __shared__ float sums[max_group];
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes;
    const int group = threadIdx.x / half8_width, part = threadIdx.x % half8_width;
    constexpr int groups = warps * lanes / half8_width;
    const QueryGroup rows = query_groups[blockIdx.x / heads];
    const int64_t head = blockIdx.x % heads, width = heads * head_width,
                  offset = head * head_width + part * half8_width;
    const int64_t length = rows.positions, first_row = rows.first_row;
    const __half* keys = rows.keys_values + layer * length * 2 * width + offset;

    Float8 query[count];
    for (int i = 0; i < count; ++i) query[i] = load_half8(queries + (first_row + i) * width + offset);
    #pragma unroll 2
    for (int64_t from = 0; from < length; from += groups) {
        // All threads of a warp take part in the dot product, so excess groups repeat the last position.
        const int64_t t = from + group < length ? from + group : length - 1;
        const Float8 key = load_half8(keys + t * 2 * width);
        float thread_score = 0;
        for (int i = 0; i < count; ++i) {
            const float score = dot(query[i], key);
            if (i == part) thread_score = score;
        }
        if (part < count && t == from + group) shared[part * length + t] = thread_score * scale;
    }
    __syncthreads();
    if (warp < count) {
        const float sum = softmax_numerators(shared + warp * length, length);
        if (lane == 0) sums[warp] = sum;
    }
    __syncthreads();
    Float8 weighted_sum[count] = {};
    #pragma unroll 2
    for (int64_t t = group; t < length; t += groups) {
        const Float8 value = load_half8(keys + t * 2 * width + width);
        for (int i = 0; i < count; ++i) add_weighted(weighted_sum[i], shared[i * length + t], value);
    }
    __syncthreads();
    for (int i = 0; i < count; ++i) {
        sum_groups(weighted_sum[i]);
        if (lane >= half8_width) continue;
        float* warp_sum = shared + (warp * count + i) * head_width + part * half8_width;
        for (int j = 0; j < half8_width; ++j) warp_sum[j] = weighted_sum[i].values[j];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count * head_width; i += blockDim.x) {
        float sum = 0;
        for (int w = 0; w < warps; ++w) sum += shared[w * count * head_width + i];
        context[(first_row + i / head_width) * width + head * head_width + i % head_width]
            = __float2half_rn(sum / sums[i / head_width]);
    }
}

// A block for each row; eight threads for each position.
__global__ void score_head_kernel(
    const __half* __restrict__ queries, const __half* __restrict__ keys_values, int64_t positions, int64_t heads,
    int64_t head, float scale, float* __restrict__ scores
) {
    const int group = threadIdx.x / half8_width, part = threadIdx.x % half8_width;
    constexpr int groups = warps * lanes / half8_width;
    const int64_t width = heads * head_width, offset = head * head_width + part * half8_width;
    const Float8 query = load_half8(queries + blockIdx.x * width + offset);
    for (int64_t from = 0; from < positions; from += groups) {
        const int64_t t = from + group < positions ? from + group : positions - 1;
        const float score = dot(query, load_half8(keys_values + t * 2 * width + offset));
        if (part == 0 && t == from + group) scores[blockIdx.x * positions + t] = score * scale;
    }
}

}  // namespace

void attend_to_encodings(
    const Stream& stream, const QueryGroup* groups, int64_t group_count, int count, int64_t max_positions,
    const __half* queries, int64_t layer, int64_t heads, float scale, __half* context
) {
    const auto blocks = static_cast<unsigned>(group_count * heads);
    const int64_t floats = count * std::max<int64_t>(max_positions, warps * head_width);
    const auto run = [&](auto kernel) {
        launch(
            stream, {dim3(blocks), warps * lanes, static_cast<size_t>(floats) * sizeof(float)}, kernel, groups, queries,
            layer, heads, scale, context
        );
    };
    switch (count) {
    case 1: return run(attend_to_encodings_kernel<1>);
    case 2: return run(attend_to_encodings_kernel<2>);
    case 3: return run(attend_to_encodings_kernel<3>);
    case 4: return run(attend_to_encodings_kernel<4>);
    case 5: return run(attend_to_encodings_kernel<5>);
    case 6: return run(attend_to_encodings_kernel<6>);
    case 7: return run(attend_to_encodings_kernel<7>);
    case 8: return run(attend_to_encodings_kernel<8>);
    default: throw std::logic_error("a group has no rows, or too many");
    }
}

void score_head(
    const Stream& stream, int64_t rows, const __half* queries, const __half* keys_values, int64_t positions,
    int64_t heads, int64_t head, float scale, float* scores
) {
    launch(
        stream, {dim3(static_cast<unsigned>(rows)), warps * lanes}, score_head_kernel, queries, keys_values, positions,
        heads, head, scale, scores
    );
}

}  // namespace halkspeech::cuda
