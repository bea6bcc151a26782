// The attention of flash_attention.h for compute capability 9.0, whose tensor cores process 64 rows at a time and read
// keys and values directly from shared memory ("wgmma" in the PTX manual).
//
// A block has 128 queries of a head: two groups of four warps with 64 each. Keys and values are loaded in tiles of 128,
// each while the previous one is processed. The scores of 64 keys are in registers at a time, where they become the
// weights of the values; while one group computes weights, the tensor cores work for others. Queries stay in registers.

#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include <cute/arch/mma_sm90_gmma.hpp>
#include <cuda_fp16.h>

namespace halkspeech {

constexpr int width = 64;  // of a head
constexpr int lanes = 32, group_threads = 128, groups = 2, threads = groups * group_threads;
constexpr int group_queries = 64, block_queries = groups * group_queries;
constexpr int tile_keys = 128, half_keys = 64;
constexpr int stages = 3;
constexpr int row_bytes = width * sizeof(__half);
constexpr int tile_bytes = tile_keys * row_bytes;
// Period and alignment of the swizzled layout.
constexpr int swizzle_bytes = 1024;
constexpr int shared_bytes = stages * 2 * tile_bytes + swizzle_bytes;
constexpr int k_steps = width / 16;  // the tensor cores process 16 elements of the inner dimension at a time

#ifdef CUTE_ARCH_MMA_SM90A_ENABLED

using cute::GMMA::Major;
using cute::GMMA::ScaleOut;
using Scores = cute::SM90_64x64x16_F32F16F16_RS<Major::K, Major::K>;
using Sums = cute::SM90_64x64x16_F32F16F16_RS<Major::K, Major::MN>;

// A thread's 32 elements of a group's [64, 64] matrix: in each of 8 blocks of 8 columns two adjacent columns, in two
// rows.
using Fragment = float[32];

// [64, 16] by [16, 64]: the left matrix from registers, the right one from shared memory, by its descriptor.
template <typename Product>
__device__ void multiply(Fragment& d, const uint32_t (&a)[4], uint64_t descriptor, bool adds) {
    Product::fma(
        a[0], a[1], a[2], a[3], descriptor, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11],
        d[12], d[13], d[14], d[15], d[16], d[17], d[18], d[19], d[20], d[21], d[22], d[23], d[24], d[25], d[26], d[27],
        d[28], d[29], d[30], d[31], adds ? ScaleOut::One : ScaleOut::Zero
    );
}

// The tensor cores' descriptor of a matrix in shared memory: rows of 128 bytes, swizzled in groups of 8 rows.
__device__ uint64_t matrix_descriptor(uint32_t address) {
    constexpr uint64_t swizzled_by_128_bytes = 1;
    return (static_cast<uint64_t>(address) & 0x3ffff) >> 4 | uint64_t{1} << 16
        | static_cast<uint64_t>(swizzle_bytes >> 4) << 32 | swizzled_by_128_bytes << 62;
}

__device__ void fence(Fragment& fragment) {
    for (float& element : fragment) cute::warpgroup_fence_operand(element);
}

// Begins an asynchronous copy of 16 bytes to shared memory; writes zeros if the source does not exist.
__device__ void copy_16_bytes(uint32_t to, const void* from, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(exists ? 16 : 0));
}

// Copies tiles of keys, each followed by its tile of values. A thread copies the same 16 bytes of every
// `rows_at_once`-th row.
struct TileCopy {
    static constexpr int parts = row_bytes / 16, rows_at_once = threads / parts;

    __device__ TileCopy(uint32_t tiles, const __half* keys, int64_t row, int64_t all, int time)
        : key(threadIdx.x / parts), time(time), row(row), all(all),
          from(keys + key * row + threadIdx.x % parts * 8),
          to(tiles + key * row_bytes + (threadIdx.x % parts ^ key % 8) * 16) {}

    // Begins the asynchronous copy of a tile.
    __device__ void begin(int tile) const {
        uint32_t target = to + tile % stages * 2 * tile_bytes;
        const __half* source = from + tile * tile_keys * row;
        const int valid_keys = time - tile * tile_keys;
        #pragma unroll
        for (int first = 0; first < tile_keys; first += rows_at_once) {
            copy_16_bytes(target, source, first + key < valid_keys);
            copy_16_bytes(target + tile_bytes, source + all, first + key < valid_keys);
            source += rows_at_once * row;
            target += rows_at_once * row_bytes;
        }
        asm volatile("cp.async.commit_group;\n" ::);
    }

    int key, time;
    int64_t row, all;
    const __half* from;
    uint32_t to;
};

__device__ float power_of_two(float exponent) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(exponent));
    return power;
}

__device__ uint32_t pack_half2(float a, float b) {
    const __half2 both = __floats2half2_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&both);
}

// Combines a value over the four threads that share a row.
template <typename Combine>
__device__ float combine_row(float value, Combine combine) {
    value = combine(value, __shfl_xor_sync(0xffffffff, value, 1));
    return combine(value, __shfl_xor_sync(0xffffffff, value, 2));
}

// The online softmax of a thread's two rows: the maximum score so far, the sum of the weights, and the weighted sum of
// the values.
struct OnlineSoftmax {
    float max_score[2] = {-FLT_MAX, -FLT_MAX};
    float sum[2] = {0, 0};
    Fragment values;

    // Converts the scores of 64 keys, the first `valid_keys` of which exist, to weights; rescales the sums so far.
    __device__ void update(Fragment& scores, int valid_keys, float scale, uint32_t (&weights)[k_steps][4]) {
        if (valid_keys < half_keys) {
            #pragma unroll
            for (int i = 0; i < 32; ++i) {
                const int key = i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
                if (key >= valid_keys) scores[i] = -FLT_MAX;
            }
        }
        #pragma unroll
        for (int row = 0; row < 2; ++row) {
            float new_max = max_score[row];
            #pragma unroll
            for (int i = 0; i < 32; i += 4)
                new_max = fmaxf(new_max, fmaxf(scores[i + 2 * row], scores[i + 2 * row + 1]));
            new_max = combine_row(new_max, [](float a, float b) { return fmaxf(a, b); });
            const float factor = power_of_two((max_score[row] - new_max) * scale), base = new_max * scale;
            max_score[row] = new_max;
            float added = 0;
            #pragma unroll
            for (int i = 0; i < 32; i += 4) {
                #pragma unroll
                for (int j = 0; j < 2; ++j) {
                    float& score = scores[i + 2 * row + j];
                    score = power_of_two(score * scale - base);
                    added += score;
                    values[i + 2 * row + j] *= factor;
                }
            }
            sum[row] = sum[row] * factor + added;
        }
        #pragma unroll
        for (int i = 0; i < k_steps; ++i) {
            #pragma unroll
            for (int j = 0; j < 4; ++j) weights[i][j] = pack_half2(scores[i * 8 + j * 2], scores[i * 8 + j * 2 + 1]);
        }
    }
};

__device__ void attend_block(
    const __half* __restrict__ projected, __half* __restrict__ output, int time, int64_t heads, float scale
) {
    extern __shared__ char shared_memory[];
    const auto unaligned = static_cast<uint32_t>(__cvta_generic_to_shared(shared_memory));
    const uint32_t tiles = (unaligned + swizzle_bytes - 1) / swizzle_bytes * swizzle_bytes;
    const int64_t all = heads * width, row = 3 * all;
    const __half* queries = projected + static_cast<int64_t>(blockIdx.z) * time * row + blockIdx.y * width;
    const int group = threadIdx.x / group_threads, warp = threadIdx.x % group_threads / lanes,
              lane = threadIdx.x % lanes;
    const int first_query = blockIdx.x * block_queries + group * group_queries + warp * 16 + lane / 4;

    const TileCopy copy(tiles, queries + all, row, all, time);
    copy.begin(0);
    uint32_t query[k_steps][4];
    #pragma unroll
    for (int i = 0; i < k_steps; ++i) {
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int at = min(first_query + j % 2 * 8, time - 1), column = i * 16 + j / 2 * 8 + lane % 4 * 2;
            query[i][j] = *reinterpret_cast<const uint32_t*>(queries + at * row + column);
        }
    }

    OnlineSoftmax rows;
    #pragma unroll
    for (float& value : rows.values) value = 0;
    Fragment scores;
    uint32_t weights[k_steps][4];
    const auto score = [&](uint32_t keys) {
        #pragma unroll
        for (int i = 0; i < k_steps; ++i) multiply<Scores>(scores, query[i], matrix_descriptor(keys + i * 32), i > 0);
    };
    const auto add_values = [&](uint32_t values) {
        #pragma unroll
        for (int i = 0; i < k_steps; ++i)
            multiply<Sums>(rows.values, weights[i], matrix_descriptor(values + i * 2 * swizzle_bytes), true);
    };
    const auto begin = [&] {
        fence(scores);
        fence(rows.values);
        cute::warpgroup_arrive();
    };
    const auto end = [&] {
        cute::warpgroup_commit_batch();
        cute::warpgroup_wait<0>();
        fence(scores);
        fence(rows.values);
    };

    const int count = (time + tile_keys - 1) / tile_keys;
    for (int tile = 0; tile < count; ++tile) {
        asm volatile("cp.async.wait_group 0;\n" ::);
        // Makes the copied data visible to the tensor cores.
        asm volatile("fence.proxy.async.shared::cta;\n" ::);
        __syncthreads();
        // Overwrites the tile before the previous one, which is no longer read.
        if (tile + 1 < count) copy.begin(tile + 1);
        const uint32_t keys = tiles + tile % stages * 2 * tile_bytes, values = keys + tile_bytes;
        constexpr int half_bytes = half_keys * row_bytes;
        const int valid_keys = time - tile * tile_keys;
        // The values of the previous tile may still be accumulating.
        cute::warpgroup_arrive();
        score(keys);
        end();
        rows.update(scores, valid_keys, scale, weights);
        begin();
        add_values(values);
        if (valid_keys > half_keys) score(keys + half_bytes);
        end();
        if (valid_keys <= half_keys) break;
        rows.update(scores, valid_keys - half_keys, scale, weights);
        begin();
        add_values(values + half_bytes);
        cute::warpgroup_commit_batch();
    }
    end();

    #pragma unroll
    for (int half = 0; half < 2; ++half) {
        const float sum = combine_row(rows.sum[half], [](float a, float b) { return a + b; });
        const int at = first_query + half * 8;
        if (at >= time) continue;
        __half* to = output + (static_cast<int64_t>(blockIdx.z) * time + at) * all + blockIdx.y * width + lane % 4 * 2;
        #pragma unroll
        for (int i = 0; i < 8; ++i) {
            const float a = rows.values[i * 4 + half * 2] / sum, b = rows.values[i * 4 + half * 2 + 1] / sum;
            *reinterpret_cast<uint32_t*>(to + i * 8) = pack_half2(a, b);
        }
    }
}

#endif

__global__ void __launch_bounds__(threads, 2) flash_attention_sm90_kernel(
    const __half* projected, __half* output, int time, int64_t heads, float scale
) {
#ifdef CUTE_ARCH_MMA_SM90A_ENABLED
    attend_block(projected, output, time, heads, scale);
#else
    // Compiled without the instructions of sm_90a: stops with an error instead of leaving the output as it is.
    __trap();
#endif
}

}  // namespace halkspeech
