#include "attention.h"

#include <algorithm>
#include <cfloat>

#include <cuda/utils.h>

#include "eight.h"

using ctranslate2::dim_t;
using ctranslate2::float16_t;
using ctranslate2::StorageView;

namespace halkspeech {

constexpr int head_width = 64;  // each thread of eight takes eight numbers of it
constexpr int lanes = 32;
constexpr unsigned all_lanes = 0xffffffff;

__device__ Eight load(const __half* from) { return unpack(*reinterpret_cast<const uint4*>(from)); }

// Over the threads that share a head, to each of them.
__device__ float dot(const Eight& a, const Eight& b) {
    float sum = 0;
    for (int i = 0; i < eight; ++i) sum += a.of[i] * b.of[i];
    for (int step = eight / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

// Makes what is proportional to probabilities of a warp's scores. Gives their sum.
__device__ float soften(float* scores, int64_t count) {
    const int lane = threadIdx.x % lanes;
    float most = -FLT_MAX;
    for (int64_t t = lane; t < count; t += lanes) most = fmaxf(most, scores[t]);
    for (int step = lanes / 2; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(all_lanes, most, step));
    float sum = 0;
    for (int64_t t = lane; t < count; t += lanes) {
        scores[t] = __expf(scores[t] - most);
        sum += scores[t];
    }
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

// Adds up what the groups of a warp have, to each of them.
__device__ void add_groups(Eight& numbers) {
    for (int i = 0; i < eight; ++i) {
        numbers.of[i] += __shfl_xor_sync(all_lanes, numbers.of[i], eight);
        numbers.of[i] += __shfl_xor_sync(all_lanes, numbers.of[i], 2 * eight);
    }
}

__global__ void append(const int32_t* before, int64_t old, int64_t tokens, int32_t* rows) {
    const int64_t hypothesis = blockIdx.x;
    for (int64_t t = threadIdx.x; t < old + tokens; t += blockDim.x)
        rows[hypothesis * (old + tokens) + t] = t < old ? before[hypothesis * old + t] : static_cast<int32_t>(hypothesis);
}

// Of 16 bytes each.
__global__ void keep(const uint4* projected, int64_t width, uint4* texts, int64_t tokens, Time* times) {
    for (int64_t i = threadIdx.x; i < 2 * width; i += blockDim.x)
        texts[blockIdx.x * 2 * width + i] = projected[blockIdx.x * 3 * width + width + i];
    if (blockIdx.x > 0) return;
    for (int64_t t = threadIdx.x; t < tokens; t += blockDim.x)
        times[t] = {texts + t * 2 * width, tokens * 2 * width * static_cast<int64_t>(sizeof(uint4) / sizeof(__half))};
}

constexpr int text_warps = 4;

// A warp for each token and head.
__global__ void to_texts(
    const __half* __restrict__ queries, const int32_t* __restrict__ rows, const Time* __restrict__ times, int64_t all,
    int64_t tokens, int64_t heads, int64_t count, float scale, __half* __restrict__ context
) {
    extern __shared__ float shared[];
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes, group = lane / eight, part = lane % eight;
    const int64_t one = static_cast<int64_t>(blockIdx.x) * text_warps + warp;
    if (one >= count) return;
    const int64_t token = one / heads, head = one % heads, width = heads * head_width;
    const int64_t seen = all - tokens + token % tokens + 1;
    const int32_t* path = rows + token / tokens * all;
    const int64_t offset = head * head_width + part * eight;
    const auto place = [&](int64_t t) { return static_cast<const __half*>(times[t].first) + path[t] * times[t].ld + offset; };
    float* scores = shared + warp * all;

    const Eight query = load(queries + token * 3 * width + offset);
    constexpr int groups = lanes / eight;
    #pragma unroll 4
    for (int64_t first = 0; first < seen; first += groups) {
        // The threads of a warp go the same way, so the last ones look at the last moment again.
        const int64_t t = min(first + group, seen - 1);
        const float score = dot(query, load(place(t)));
        if (part == 0) scores[t] = score * scale;
    }
    __syncwarp();
    const float sum = soften(scores, seen);
    __syncwarp();
    Eight mean = {};
    #pragma unroll 4
    for (int64_t t = group; t < seen; t += groups) {
        const Eight value = load(place(t) + width);
        for (int i = 0; i < eight; ++i) mean.of[i] += scores[t] * value.of[i];
    }
    __syncwarp();
    add_groups(mean);
    if (group > 0) return;
    for (int i = 0; i < eight; ++i) context[token * width + offset + i] = __float2half(mean.of[i] / sum);
}

constexpr int window_warps = 8;
constexpr int most_queries = 8;

// A block for each window.
__global__ void measure(const uint4* __restrict__ encodings, int64_t positions, int64_t width, int32_t* lengths) {
    const uint4* rows = encodings + blockIdx.x * positions * width;
    constexpr unsigned without_signs = 0x7fff7fff;
    int64_t length = positions;
    for (; length > 0; --length) {
        unsigned any = 0;
        for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
            const uint4 numbers = rows[(length - 1) * width + i];
            any |= (numbers.x | numbers.y | numbers.z | numbers.w) & without_signs;
        }
        if (__syncthreads_or(static_cast<int>(any)) != 0) break;
    }
    if (threadIdx.x == 0) lengths[blockIdx.x] = static_cast<int32_t>(length);
}

// A block for each window and head, and `count` of the window's `m` queries, from `first` on.
template <int count>
__global__ void to_windows(
    const __half* __restrict__ queries, const int2* __restrict__ places, const __half* __restrict__ memory,
    int64_t heads, int64_t m, int64_t first, float scale, __half* __restrict__ context
) {
    extern __shared__ float shared[];  // scores [count, length], and later sums of warps [warps, count, head width]
    __shared__ float sums[most_queries];
    const int warp = threadIdx.x / lanes, lane = threadIdx.x % lanes;
    const int group = threadIdx.x / eight, part = threadIdx.x % eight;
    constexpr int groups = window_warps * lanes / eight;
    const int64_t window = blockIdx.x / heads, head = blockIdx.x % heads, width = heads * head_width;
    const int64_t offset = head * head_width + part * eight;
    const int64_t length = places[window].y;
    const __half* keys = memory + places[window].x * 2 * width + offset;
    const int64_t first_row = window * m + first;

    Eight query[count];
    for (int i = 0; i < count; ++i) query[i] = load(queries + (first_row + i) * width + offset);
    #pragma unroll 2
    for (int64_t from = 0; from < length; from += groups) {
        const int64_t t = min(from + group, length - 1);
        const Eight key = load(keys + t * 2 * width);
        float mine = 0;
        for (int i = 0; i < count; ++i) {
            const float score = dot(query[i], key);
            if (i == part) mine = score;
        }
        if (part < count) shared[part * length + t] = mine * scale;
    }
    __syncthreads();
    if (warp < count) {
        const float sum = soften(shared + warp * length, length);
        if (lane == 0) sums[warp] = sum;
    }
    __syncthreads();
    Eight mean[count] = {};
    #pragma unroll 2
    for (int64_t t = group; t < length; t += groups) {
        const Eight value = load(keys + t * 2 * width + width);
        for (int i = 0; i < count; ++i) {
            const float weight = shared[i * length + t];
            for (int j = 0; j < eight; ++j) mean[i].of[j] += weight * value.of[j];
        }
    }
    __syncthreads();
    for (int i = 0; i < count; ++i) {
        add_groups(mean[i]);
        if (lane >= eight) continue;
        for (int j = 0; j < eight; ++j) shared[(warp * count + i) * head_width + part * eight + j] = mean[i].of[j];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count * head_width; i += blockDim.x) {
        float sum = 0;
        for (int w = 0; w < window_warps; ++w) sum += shared[w * count * head_width + i];
        context[(first_row + i / head_width) * width + head * head_width + i % head_width]
            = __float2half(sum / sums[i / head_width]);
    }
}

const __half* halves(const StorageView& x) { return reinterpret_cast<const __half*>(x.data<float16_t>()); }
__half* halves(StorageView& x) { return reinterpret_cast<__half*>(x.data<float16_t>()); }

void append_rows(const StorageView& before, int64_t tokens, StorageView& rows) {
    const int64_t hypotheses = before.dim(0), old = before.dim(1);
    rows.resize({hypotheses, old + tokens});
    append<<<static_cast<unsigned>(hypotheses), 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        old == 0 ? nullptr : before.data<int32_t>(), old, tokens, rows.data<int32_t>()
    );
    CUDA_CHECK(cudaGetLastError());
}

void keep_text(const StorageView& projected, StorageView& texts, Time* times) {
    const int64_t hypotheses = projected.dim(0), tokens = projected.dim(1), width = projected.dim(2) / 3;
    texts.resize({hypotheses, tokens, 2 * width});
    keep<<<static_cast<unsigned>(hypotheses * tokens), 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        reinterpret_cast<const uint4*>(halves(projected)), width / eight, reinterpret_cast<uint4*>(halves(texts)), tokens,
        times
    );
    CUDA_CHECK(cudaGetLastError());
}

void attend_to_texts(
    const StorageView& projected, const StorageView& rows, const Time* times, int64_t heads, float scale,
    StorageView& context
) {
    const int64_t all = rows.dim(1), count = projected.dim(0) * projected.dim(1) * heads;
    const auto blocks = static_cast<unsigned>((count + text_warps - 1) / text_warps);
    const size_t shared = static_cast<size_t>(text_warps * all) * sizeof(float);
    to_texts<<<blocks, text_warps * lanes, shared, ctranslate2::cuda::get_cuda_stream()>>>(
        halves(projected), rows.data<int32_t>(), times, all, projected.dim(1), heads, count, scale, halves(context)
    );
    CUDA_CHECK(cudaGetLastError());
}

void measure_windows(const StorageView& encodings, StorageView& lengths) {
    const int64_t windows = encodings.dim(0), positions = encodings.dim(1), width = encodings.dim(2) / eight;
    lengths.resize({windows});
    measure<<<static_cast<unsigned>(windows), 128, 0, ctranslate2::cuda::get_cuda_stream()>>>(
        reinterpret_cast<const uint4*>(halves(encodings)), positions, width, lengths.data<int32_t>()
    );
    CUDA_CHECK(cudaGetLastError());
}

void attend_to_windows(
    const StorageView& queries, const StorageView& places, const StorageView& memory, int64_t longest, int64_t heads,
    float scale, StorageView& context
) {
    const int64_t windows = places.dim(0), m = queries.size() / (heads * head_width) / windows;
    const auto blocks = static_cast<unsigned>(windows * heads);
    for (int64_t first = 0; first < m; first += most_queries) {
        const int64_t count = std::min<int64_t>(most_queries, m - first);
        const auto run = [&](auto kernel) {
            const int64_t floats = count * std::max<int64_t>(longest, window_warps * head_width);
            kernel<<<
                blocks, window_warps * lanes, static_cast<size_t>(floats) * sizeof(float),
                ctranslate2::cuda::get_cuda_stream()
            >>>(
                halves(queries), reinterpret_cast<const int2*>(places.data<int32_t>()), halves(memory), heads, m,
                first, scale, halves(context)
            );
        };
        switch (count) {
        case 1: run(to_windows<1>); break;
        case 2: run(to_windows<2>); break;
        case 3: run(to_windows<3>); break;
        case 4: run(to_windows<4>); break;
        case 5: run(to_windows<5>); break;
        case 6: run(to_windows<6>); break;
        case 7: run(to_windows<7>); break;
        default: run(to_windows<8>); break;
        }
        CUDA_CHECK(cudaGetLastError());
    }
}

}  // namespace halkspeech
