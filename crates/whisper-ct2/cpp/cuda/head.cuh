// A query, a key or a value of one attention head in the registers of eight threads.

#pragma once

#include <cfloat>
#include <cstdint>

#include "half8.h"
#include "warp.cuh"

namespace halkspeech {

constexpr int head_width = 64;  // processed by eight threads, eight elements each

__device__ inline Float8 load_half8(const __half* from) { return unpack_half8(*reinterpret_cast<const uint4*>(from)); }

// Dot product over the eight threads that share a head; each of them gets the result.
__device__ inline float dot(const Float8& a, const Float8& b) {
    float sum = 0;
    for (int i = 0; i < half8_width; ++i) sum += a.values[i] * b.values[i];
    for (int step = half8_width / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

// Replaces a warp's scores by the numerators of their softmax; returns the sum of the numerators.
__device__ inline float softmax_numerators(float* scores, int64_t count) {
    const int lane = threadIdx.x % lanes;
    float max_score = -FLT_MAX;
    for (int64_t t = lane; t < count; t += lanes) max_score = fmaxf(max_score, scores[t]);
    for (int step = lanes / 2; step > 0; step /= 2)
        max_score = fmaxf(max_score, __shfl_xor_sync(all_lanes, max_score, step));
    float sum = 0;
    for (int64_t t = lane; t < count; t += lanes) {
        scores[t] = __expf(scores[t] - max_score);
        sum += scores[t];
    }
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

// Adds weight * vector to a sum.
__device__ inline void add_weighted(Float8& sum, float weight, const Float8& vector) {
    for (int i = 0; i < half8_width; ++i) sum.values[i] += weight * vector.values[i];
}

// Adds a vector over the groups of a warp; each of them gets the sum.
__device__ inline void sum_groups(Float8& vector) {
    for (int i = 0; i < half8_width; ++i) {
        vector.values[i] += __shfl_xor_sync(all_lanes, vector.values[i], half8_width);
        vector.values[i] += __shfl_xor_sync(all_lanes, vector.values[i], 2 * half8_width);
    }
}

}  // namespace halkspeech
