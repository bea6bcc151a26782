// The kernels of layer_norm.h.

#pragma once

#include "half8.h"
#include "layer_norm.h"
#include "warp.cuh"

namespace halkspeech {

__device__ inline float warp_sum(float sum) {
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

constexpr int layer_norm_warps = 4;

// A warp for each row, which it keeps in registers: `vectors_per_thread` vectors of eight elements in each thread.
template <int vectors_per_thread>
__global__ void layer_norm_kernel(
    RowShape rows, const uint4* input, const uint4* __restrict__ gamma, const uint4* __restrict__ beta, float epsilon,
    uint4* output
) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * layer_norm_warps + threadIdx.x / lanes;
    if (row >= rows.count) return;
    const int lane = threadIdx.x % lanes, count = static_cast<int>(rows.width) / half8_width;
    const uint4* from = input + row * count;
    Float8 vectors[vectors_per_thread];
    float sum = 0;
    #pragma unroll
    for (int i = 0; i < vectors_per_thread; ++i) {
        const int index = lane + i * lanes;
        vectors[i] = index < count ? unpack_half8(from[index]) : Float8{};
        for (const float value : vectors[i].values) sum += value;
    }
    const float mean = warp_sum(sum) / static_cast<float>(rows.width);
    float squares = 0;
    #pragma unroll
    for (int i = 0; i < vectors_per_thread; ++i) {
        if (lane + i * lanes >= count) continue;
        for (const float value : vectors[i].values) squares += (value - mean) * (value - mean);
    }
    const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(rows.width) + epsilon);
    #pragma unroll
    for (int i = 0; i < vectors_per_thread; ++i) {
        const int index = lane + i * lanes;
        if (index >= count) continue;
        const Float8 factors = unpack_half8(gamma[index]), offsets = unpack_half8(beta[index]);
        for (int j = 0; j < half8_width; ++j)
            vectors[i].values[j] = (vectors[i].values[j] - mean) * scale * factors.values[j] + offsets.values[j];
        output[row * count + index] = pack_half8(vectors[i]);
    }
}

// Rows that a thread processes, one vector of each.
constexpr int rows_per_thread = 8;

template <BiasEpilogue epilogue>
__global__ void add_bias_kernel(
    RowShape rows, const uint4* input, const uint4* __restrict__ bias, const uint4* residual, uint4* output
) {
    const int64_t count = rows.width / half8_width;
    const int64_t index = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
    if (index >= count) return;
    const Float8 biases = unpack_half8(bias[index]);
    const int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_thread;
    #pragma unroll
    for (int i = 0; i < rows_per_thread; ++i) {
        const int64_t row = first + i;
        if (row >= rows.count) return;
        Float8 vector = unpack_half8(input[row * count + index]);
        for (int j = 0; j < half8_width; ++j) vector.values[j] += biases.values[j];
        if (epilogue == BiasEpilogue::gelu) {
            for (float& x : vector.values) x = 0.5f * x * (1 + erff(0.7071067811865475f * x));
        }
        if (epilogue == BiasEpilogue::residual) {
            const Float8 residuals = unpack_half8(residual[row * count + index]);
            for (int j = 0; j < half8_width; ++j) vector.values[j] += residuals.values[j];
        }
        output[row * count + index] = pack_half8(vector);
    }
}

}  // namespace halkspeech
