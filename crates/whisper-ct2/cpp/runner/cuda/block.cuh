// Values that the threads of a block combine, in an order that only the block's size determines.

#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "../../cuda/warp.cuh"

namespace halkspeech::cuda {

// Combines a value over the threads of a block, a multiple of 32, at most 1,024; each of them gets the result.
// `Combine` is associative up to rounding.
template <typename Value, typename Combine>
__device__ Value combine_block(Value value, Combine combine) {
    __shared__ Value values[lanes];
    const int lane = threadIdx.x % lanes, warp = threadIdx.x / lanes, warps = blockDim.x / lanes;
    for (int step = lanes / 2; step > 0; step /= 2) value = combine(value, value.shuffled(step));
    // The values of the call before have been read.
    __syncthreads();
    if (lane == 0) values[warp] = value;
    __syncthreads();
    Value all = values[0];
    for (int i = 1; i < warps; ++i) all = combine(all, values[i]);
    return all;
}

struct Number {
    float value;
    __device__ Number shuffled(int step) const { return {__shfl_xor_sync(all_lanes, value, step)}; }
};

__device__ inline float block_max(float value) {
    return combine_block(Number{value}, [](Number a, Number b) { return Number{fmaxf(a.value, b.value)}; }).value;
}

__device__ inline float block_sum(float value) {
    return combine_block(Number{value}, [](Number a, Number b) { return Number{a.value + b.value}; }).value;
}

__device__ inline float negative_infinity() { return -__int_as_float(0x7f800000); }

// Of values [begin, end).
__device__ inline float max_of(const float* values, int64_t begin, int64_t end) {
    float largest = negative_infinity();
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) largest = fmaxf(largest, values[i]);
    return block_max(largest);
}

// Negative infinity if all values are. Not a number if one of them is positive infinity or not a number.
__device__ inline float log_sum_exp(const float* values, int64_t begin, int64_t end) {
    const float largest = max_of(values, begin, end);
    float sum = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
        const float value = values[i];
        // Without the first, a row without any value would be no number.
        sum += value == negative_infinity() ? 0.0f : expf(value - largest);
    }
    sum = block_sum(sum);
    return sum == 0 ? negative_infinity() : largest + logf(sum);
}

}  // namespace halkspeech::cuda
