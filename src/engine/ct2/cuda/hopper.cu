// The attention of flash.h for compute capability 9.0, whose tensor cores take 64 rows at a time and read keys and values
// from shared memory themselves ("wgmma" in the PTX manual).
//
// A block has 128 queries of a head: two groups of four warps with 64 each. Keys and values come in tiles of 128, one
// while the one before is worked on. Scores of 64 keys are in registers at a time, and become what the values are
// weighted with there; while one group makes those, the tensor cores work for others. Queries stay in registers.

#include "hopper.h"

#include <cfloat>

#include <cute/arch/mma_sm90_gmma.hpp>
#include <cuda_fp16.h>
#include <cuda/utils.h>

namespace halkspeech {

constexpr int width = 64;  // of a head
constexpr int lanes = 32, group_threads = 128, groups = 2, threads = groups * group_threads;
constexpr int group_queries = 64, block_queries = groups * group_queries;
constexpr int tile_keys = 128, half_keys = 64;
constexpr int stages = 3;
constexpr int row_bytes = width * sizeof(__half);
constexpr int tile_bytes = tile_keys * row_bytes;
// What is swizzled repeats after so many bytes, and begins at a multiple of them.
constexpr int swizzle_bytes = 1024;
constexpr int shared_bytes = stages * 2 * tile_bytes + swizzle_bytes;
constexpr int pieces = width / 16;  // of 16 numbers, which the tensor cores take at a time

#ifdef CUTE_ARCH_MMA_SM90A_ENABLED

using cute::GMMA::Major;
using cute::GMMA::ScaleOut;
using Scores = cute::SM90_64x64x16_F32F16F16_RS<Major::K, Major::K>;
using Sums = cute::SM90_64x64x16_F32F16F16_RS<Major::K, Major::MN>;

// 64 rows of a group, of which a thread has 32 numbers: of 8 by 8 columns two beside each other, in two rows.
using Fragment = float[32];

// [64, 16] by [16, 64]: the rows from registers, the rest as `place` says.
template <typename Product>
__device__ void multiply(Fragment& d, const uint32_t (&a)[4], uint64_t place, bool adds) {
    Product::fma(
        a[0], a[1], a[2], a[3], place, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12],
        d[13], d[14], d[15], d[16], d[17], d[18], d[19], d[20], d[21], d[22], d[23], d[24], d[25], d[26], d[27], d[28],
        d[29], d[30], d[31], adds ? ScaleOut::One : ScaleOut::Zero
    );
}

// Where rows of 128 bytes begin in shared memory, for the tensor cores: swizzled, 8 rows behind 8 rows.
__device__ uint64_t place_of(uint32_t address) {
    constexpr uint64_t swizzled_by_128_bytes = 1;
    return (static_cast<uint64_t>(address) & 0x3ffff) >> 4 | uint64_t{1} << 16
        | static_cast<uint64_t>(swizzle_bytes >> 4) << 32 | swizzled_by_128_bytes << 62;
}

__device__ void fence(Fragment& fragment) {
    for (float& number : fragment) cute::warpgroup_fence_operand(number);
}

// Has 16 bytes copied to shared memory, or zeros where nothing is there.
__device__ void copy_piece(uint32_t to, const void* from, bool is_there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(is_there ? 16 : 0));
}

// Copies tiles of keys, and of values behind each. A thread has the same 16 bytes of every so many rows.
struct Copy {
    static constexpr int parts = row_bytes / 16, rows_at_once = threads / parts;

    __device__ Copy(uint32_t tiles, const __half* keys, int64_t row, int64_t all, int time)
        : key(threadIdx.x / parts), time(time), row(row), all(all),
          from(keys + key * row + threadIdx.x % parts * 8),
          to(tiles + key * row_bytes + (threadIdx.x % parts ^ key % 8) * 16) {}

    // Begins to copy a tile.
    __device__ void begin(int tile) const {
        uint32_t place = to + tile % stages * 2 * tile_bytes;
        const __half* piece = from + tile * tile_keys * row;
        const int there = time - tile * tile_keys;
        #pragma unroll
        for (int first = 0; first < tile_keys; first += rows_at_once) {
            copy_piece(place, piece, first + key < there);
            copy_piece(place + tile_bytes, piece + all, first + key < there);
            piece += rows_at_once * row;
            place += rows_at_once * row_bytes;
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

__device__ uint32_t pair(float a, float b) {
    const __half2 both = __floats2half2_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&both);
}

// Over the four threads that share a row.
template <typename Combine>
__device__ float over_row(float number, Combine combine) {
    number = combine(number, __shfl_xor_sync(0xffffffff, number, 1));
    return combine(number, __shfl_xor_sync(0xffffffff, number, 2));
}

// The two rows of a thread: their largest score so far, the sum of what values were weighted with, and of those.
struct Rows {
    float most[2] = {-FLT_MAX, -FLT_MAX};
    float sum[2] = {0, 0};
    Fragment values;

    // Makes weights of the scores of 64 keys, of which `there` are some. What there was so far is scaled to them.
    __device__ void weigh(Fragment& scores, int there, float scale, uint32_t (&weights)[pieces][4]) {
        if (there < half_keys) {
            #pragma unroll
            for (int i = 0; i < 32; ++i) {
                const int key = i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
                if (key >= there) scores[i] = -FLT_MAX;
            }
        }
        #pragma unroll
        for (int row = 0; row < 2; ++row) {
            float highest = most[row];
            #pragma unroll
            for (int i = 0; i < 32; i += 4)
                highest = fmaxf(highest, fmaxf(scores[i + 2 * row], scores[i + 2 * row + 1]));
            highest = over_row(highest, [](float a, float b) { return fmaxf(a, b); });
            const float factor = power_of_two((most[row] - highest) * scale), base = highest * scale;
            most[row] = highest;
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
        for (int i = 0; i < pieces; ++i) {
            #pragma unroll
            for (int j = 0; j < 4; ++j) weights[i][j] = pair(scores[i * 8 + j * 2], scores[i * 8 + j * 2 + 1]);
        }
    }
};

__device__ void attend_block(
    const __half* __restrict__ projected, __half* __restrict__ output, int time, int64_t heads, float scale
) {
    extern __shared__ char memory[];
    const auto unaligned = static_cast<uint32_t>(__cvta_generic_to_shared(memory));
    const uint32_t tiles = (unaligned + swizzle_bytes - 1) / swizzle_bytes * swizzle_bytes;
    const int64_t all = heads * width, row = 3 * all;
    const __half* queries = projected + static_cast<int64_t>(blockIdx.z) * time * row + blockIdx.y * width;
    const int group = threadIdx.x / group_threads, warp = threadIdx.x % group_threads / lanes, lane = threadIdx.x % lanes;
    const int first_query = blockIdx.x * block_queries + group * group_queries + warp * 16 + lane / 4;

    const Copy copy(tiles, queries + all, row, all, time);
    copy.begin(0);
    uint32_t query[pieces][4];
    #pragma unroll
    for (int i = 0; i < pieces; ++i) {
        #pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int at = min(first_query + j % 2 * 8, time - 1), column = i * 16 + j / 2 * 8 + lane % 4 * 2;
            query[i][j] = *reinterpret_cast<const uint32_t*>(queries + at * row + column);
        }
    }

    Rows rows;
    #pragma unroll
    for (float& value : rows.values) value = 0;
    Fragment scores;
    uint32_t weights[pieces][4];
    const auto score = [&](uint32_t keys) {
        #pragma unroll
        for (int i = 0; i < pieces; ++i) multiply<Scores>(scores, query[i], place_of(keys + i * 32), i > 0);
    };
    const auto add_values = [&](uint32_t values) {
        #pragma unroll
        for (int i = 0; i < pieces; ++i)
            multiply<Sums>(rows.values, weights[i], place_of(values + i * 2 * swizzle_bytes), true);
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
        // So that the tensor cores see what was copied.
        asm volatile("fence.proxy.async.shared::cta;\n" ::);
        __syncthreads();
        // In the place of the tile before the last one, which nobody reads any more.
        if (tile + 1 < count) copy.begin(tile + 1);
        const uint32_t keys = tiles + tile % stages * 2 * tile_bytes, values = keys + tile_bytes;
        constexpr int half_bytes = half_keys * row_bytes;
        const int there = time - tile * tile_keys;
        // Values of the tile before may still be added up.
        cute::warpgroup_arrive();
        score(keys);
        end();
        rows.weigh(scores, there, scale, weights);
        begin();
        add_values(values);
        if (there > half_keys) score(keys + half_bytes);
        end();
        if (there <= half_keys) break;
        rows.weigh(scores, there - half_keys, scale, weights);
        begin();
        add_values(values + half_bytes);
        cute::warpgroup_commit_batch();
    }
    end();

    #pragma unroll
    for (int half = 0; half < 2; ++half) {
        const float sum = over_row(rows.sum[half], [](float a, float b) { return a + b; });
        const int at = first_query + half * 8;
        if (at >= time) continue;
        __half* to = output + (static_cast<int64_t>(blockIdx.z) * time + at) * all + blockIdx.y * width + lane % 4 * 2;
        #pragma unroll
        for (int i = 0; i < 8; ++i) {
            const float a = rows.values[i * 4 + half * 2] / sum, b = rows.values[i * 4 + half * 2 + 1] / sum;
            *reinterpret_cast<uint32_t*>(to + i * 8) = pair(a, b);
        }
    }
}

#endif

__global__ void __launch_bounds__(threads, 2) attend_on_hopper(
    const __half* projected, __half* output, int time, int64_t heads, float scale
) {
#ifdef CUTE_ARCH_MMA_SM90A_ENABLED
    attend_block(projected, output, time, heads, scale);
#endif
}

void hopper_attention(const FlashShape& shape, const void* projected, void* output) {
    const dim3 grid(
        static_cast<unsigned>((shape.time + block_queries - 1) / block_queries), static_cast<unsigned>(shape.heads),
        static_cast<unsigned>(shape.batch)
    );
    CUDA_CHECK(cudaFuncSetAttribute(attend_on_hopper, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes));
    attend_on_hopper<<<grid, threads, shared_bytes, ctranslate2::cuda::get_cuda_stream()>>>(
        static_cast<const __half*>(projected), static_cast<__half*>(output), static_cast<int>(shape.time), shape.heads,
        shape.scale * static_cast<float>(M_LOG2E)
    );
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace halkspeech
