#include "attention.h"

#include <algorithm>

#include <cuda/utils.h>

#include "head.cuh"

using ctranslate2::dim_t;
using ctranslate2::float16_t;
using ctranslate2::StorageView;

namespace halkspeech {

// A block for each hypothesis.
__global__ void append_rows_kernel(
    const int32_t* previous, int64_t previous_tokens, int64_t tokens, int32_t* rows
) {
    const int64_t hypothesis = blockIdx.x, all = previous_tokens + tokens;
    for (int64_t t = threadIdx.x; t < all; t += blockDim.x)
        rows[hypothesis * all + t]
            = t < previous_tokens ? previous[hypothesis * previous_tokens + t] : static_cast<int32_t>(hypothesis);
}

// A block for each hypothesis and token; `width` is in vectors of 16 bytes.
__global__ void store_keys_values_kernel(
    const uint4* projected, int64_t width, uint4* keys_values, int64_t tokens, KeyValueRows* locations
) {
    for (int64_t i = threadIdx.x; i < 2 * width; i += blockDim.x)
        keys_values[blockIdx.x * 2 * width + i] = projected[blockIdx.x * 3 * width + width + i];
    if (blockIdx.x > 0) return;
    const int64_t ld = tokens * 2 * width * static_cast<int64_t>(sizeof(uint4) / sizeof(__half));
    for (int64_t t = threadIdx.x; t < tokens; t += blockDim.x) locations[t] = {keys_values + t * 2 * width, ld};
}

constexpr int self_attention_warps = 4;

// A warp for each token and head.
__global__ void self_attention_kernel(
    const __half* __restrict__ queries, const int32_t* __restrict__ rows, const KeyValueRows* __restrict__ locations,
    int64_t all, int64_t tokens, int64_t heads, int64_t count, float scale, __half* __restrict__ context
) {
    extern __shared__ float shared[];
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes, group = lane / half8_width,
              part = lane % half8_width;
    const int64_t index = static_cast<int64_t>(blockIdx.x) * self_attention_warps + warp;
    if (index >= count) return;
    const int64_t token = index / heads, head = index % heads, width = heads * head_width;
    const int64_t visible = all - tokens + token % tokens + 1;
    const int32_t* hypothesis_rows = rows + token / tokens * all;
    const int64_t offset = head * head_width + part * half8_width;
    const auto key_at = [&](int64_t t) {
        return static_cast<const __half*>(locations[t].first) + hypothesis_rows[t] * locations[t].ld + offset;
    };
    float* scores = shared + warp * all;

    const Float8 query = load_half8(queries + token * 3 * width + offset);
    constexpr int groups = lanes / half8_width;
    #pragma unroll 4
    for (int64_t first = 0; first < visible; first += groups) {
        // All threads of the warp take part in the dot product, so excess groups repeat the last token.
        const int64_t t = min(first + group, visible - 1);
        const float score = dot(query, load_half8(key_at(t)));
        if (part == 0) scores[t] = score * scale;
    }
    __syncwarp();
    const float sum = softmax_numerators(scores, visible);
    __syncwarp();
    Float8 weighted_sum = {};
    #pragma unroll 4
    for (int64_t t = group; t < visible; t += groups) {
        const Float8 value = load_half8(key_at(t) + width);
        add_weighted(weighted_sum, scores[t], value);
    }
    __syncwarp();
    sum_groups(weighted_sum);
    if (group > 0) return;
    for (int i = 0; i < half8_width; ++i)
        context[token * width + offset + i] = __float2half(weighted_sum.values[i] / sum);
}

constexpr int cross_attention_warps = 8;
constexpr int max_queries = 8;

// A block for each window.
__global__ void measure_encodings_kernel(
    const uint4* __restrict__ encodings, int64_t positions, int64_t width, int32_t* lengths
) {
    const uint4* rows = encodings + blockIdx.x * positions * width;
    constexpr unsigned magnitude_mask = 0x7fff7fff;
    int64_t length = positions;
    for (; length > 0; --length) {
        unsigned any = 0;
        for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
            const uint4 halves = rows[(length - 1) * width + i];
            any |= (halves.x | halves.y | halves.z | halves.w) & magnitude_mask;
        }
        if (__syncthreads_or(static_cast<int>(any)) != 0) break;
    }
    if (threadIdx.x == 0) lengths[blockIdx.x] = static_cast<int32_t>(length);
}

// A block for each window and head; processes `count` of the window's `m` queries, from `first` on.
template <int count>
__global__ void cross_attention_kernel(
    const __half* __restrict__ queries, const int2* __restrict__ ranges, const __half* __restrict__ keys_values,
    int64_t heads, int64_t m, int64_t first, float scale, __half* __restrict__ context
) {
    extern __shared__ float shared[];  // scores [count, length], later sums of warps [warps, count, head width]
    __shared__ float sums[max_queries];
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes;
    const int group = threadIdx.x / half8_width, part = threadIdx.x % half8_width;
    constexpr int groups = cross_attention_warps * lanes / half8_width;
    const int64_t window = blockIdx.x / heads, head = blockIdx.x % heads, width = heads * head_width;
    const int64_t offset = head * head_width + part * half8_width;
    const int64_t length = ranges[window].y;
    const __half* keys = keys_values + ranges[window].x * 2 * width + offset;
    const int64_t first_row = window * m + first;

    Float8 query[count];
    for (int i = 0; i < count; ++i) query[i] = load_half8(queries + (first_row + i) * width + offset);
    #pragma unroll 2
    for (int64_t from = 0; from < length; from += groups) {
        const int64_t t = min(from + group, length - 1);
        const Float8 key = load_half8(keys + t * 2 * width);
        float thread_score = 0;
        for (int i = 0; i < count; ++i) {
            const float score = dot(query[i], key);
            if (i == part) thread_score = score;
        }
        if (part < count) shared[part * length + t] = thread_score * scale;
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
        for (int w = 0; w < cross_attention_warps; ++w) sum += shared[w * count * head_width + i];
        context[(first_row + i / head_width) * width + head * head_width + i % head_width]
            = __float2half(sum / sums[i / head_width]);
    }
}

const __half* halves(const StorageView& x) { return reinterpret_cast<const __half*>(x.data<float16_t>()); }
__half* halves(StorageView& x) { return reinterpret_cast<__half*>(x.data<float16_t>()); }

void append_rows(const StorageView& previous, int64_t tokens, StorageView& rows) {
    const int64_t hypotheses = previous.dim(0), previous_tokens = previous.dim(1);
    rows.resize({hypotheses, previous_tokens + tokens});
    append_rows_kernel<<<static_cast<unsigned>(hypotheses), 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        previous_tokens == 0 ? nullptr : previous.data<int32_t>(), previous_tokens, tokens, rows.data<int32_t>()
    );
    CUDA_CHECK(cudaGetLastError());
}

void store_keys_values(const StorageView& projected, StorageView& keys_values, KeyValueRows* locations) {
    const int64_t hypotheses = projected.dim(0), tokens = projected.dim(1), width = projected.dim(2) / 3;
    keys_values.resize({hypotheses, tokens, 2 * width});
    const auto blocks = static_cast<unsigned>(hypotheses * tokens);
    store_keys_values_kernel<<<blocks, 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        reinterpret_cast<const uint4*>(halves(projected)), width / half8_width,
        reinterpret_cast<uint4*>(halves(keys_values)), tokens, locations
    );
    CUDA_CHECK(cudaGetLastError());
}

void attend_to_hypotheses(
    const StorageView& projected, const StorageView& rows, const KeyValueRows* locations, int64_t heads, float scale,
    StorageView& context
) {
    const int64_t all = rows.dim(1), count = projected.dim(0) * projected.dim(1) * heads;
    const auto blocks = static_cast<unsigned>((count + self_attention_warps - 1) / self_attention_warps);
    const size_t shared = static_cast<size_t>(self_attention_warps * all) * sizeof(float);
    self_attention_kernel<<<blocks, self_attention_warps * lanes, shared, ctranslate2::cuda::get_cuda_stream()>>>(
        halves(projected), rows.data<int32_t>(), locations, all, projected.dim(1), heads, count, scale,
        halves(context)
    );
    CUDA_CHECK(cudaGetLastError());
}

void measure_encodings(const StorageView& encodings, StorageView& lengths) {
    const int64_t windows = encodings.dim(0), positions = encodings.dim(1), width = encodings.dim(2) / half8_width;
    lengths.resize({windows});
    measure_encodings_kernel<<<static_cast<unsigned>(windows), 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        reinterpret_cast<const uint4*>(halves(encodings)), positions, width, lengths.data<int32_t>()
    );
    CUDA_CHECK(cudaGetLastError());
}

void attend_to_encodings(
    const StorageView& queries, const StorageView& ranges, const StorageView& keys_values, int64_t max_length,
    int64_t heads, float scale, StorageView& context
) {
    const int64_t windows = ranges.dim(0), m = queries.size() / (heads * head_width) / windows;
    const auto blocks = static_cast<unsigned>(windows * heads);
    for (int64_t first = 0; first < m; first += max_queries) {
        const int64_t count = std::min<int64_t>(max_queries, m - first);
        const auto run = [&](auto kernel) {
            const int64_t floats = count * std::max<int64_t>(max_length, cross_attention_warps * head_width);
            kernel<<<
                blocks, cross_attention_warps * lanes, static_cast<size_t>(floats) * sizeof(float),
                ctranslate2::cuda::get_cuda_stream()
            >>>(
                halves(queries), reinterpret_cast<const int2*>(ranges.data<int32_t>()), halves(keys_values), heads, m,
                first, scale, halves(context)
            );
        };
        switch (count) {
        case 1: run(cross_attention_kernel<1>); break;
        case 2: run(cross_attention_kernel<2>); break;
        case 3: run(cross_attention_kernel<3>); break;
        case 4: run(cross_attention_kernel<4>); break;
        case 5: run(cross_attention_kernel<5>); break;
        case 6: run(cross_attention_kernel<6>); break;
        case 7: run(cross_attention_kernel<7>); break;
        default: run(cross_attention_kernel<8>); break;
        }
        CUDA_CHECK(cudaGetLastError());
    }
}

}  // namespace halkspeech
