#include "rows.h"

#include <stdexcept>

#include <cuda/utils.h>

#include "eight.h"

namespace halkspeech {

constexpr int lanes = 32;
constexpr unsigned all_lanes = 0xffffffff;

__device__ float sum_of_warp(float sum) {
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(all_lanes, sum, step);
    return sum;
}

constexpr int norm_warps = 4;

// A warp for each row, which it holds in registers; `most` times eight numbers a thread.
template <int most>
__global__ void normalize_rows(
    Rows rows, const uint4* input, const uint4* __restrict__ gamma, const uint4* __restrict__ beta, float epsilon,
    uint4* output
) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * norm_warps + threadIdx.x / lanes;
    if (row >= rows.count) return;
    const int lane = threadIdx.x % lanes, count = static_cast<int>(rows.width) / eight;
    const uint4* from = input + row * count;
    Eight numbers[most];
    float sum = 0;
    #pragma unroll
    for (int i = 0; i < most; ++i) {
        const int place = lane + i * lanes;
        numbers[i] = place < count ? unpack(from[place]) : Eight{};
        for (const float number : numbers[i].of) sum += number;
    }
    const float mean = sum_of_warp(sum) / static_cast<float>(rows.width);
    float squares = 0;
    #pragma unroll
    for (int i = 0; i < most; ++i) {
        if (lane + i * lanes >= count) continue;
        for (const float number : numbers[i].of) squares += (number - mean) * (number - mean);
    }
    const float scale = rsqrtf(sum_of_warp(squares) / static_cast<float>(rows.width) + epsilon);
    #pragma unroll
    for (int i = 0; i < most; ++i) {
        const int place = lane + i * lanes;
        if (place >= count) continue;
        const Eight factors = unpack(gamma[place]), terms = unpack(beta[place]);
        for (int j = 0; j < eight; ++j)
            numbers[i].of[j] = (numbers[i].of[j] - mean) * scale * factors.of[j] + terms.of[j];
        output[row * count + place] = pack(numbers[i]);
    }
}

// Rows that a thread goes through, at one place of each.
constexpr int rows_a_thread = 8;

template <Behind behind>
__global__ void add_bias_to_rows(
    Rows rows, const uint4* input, const uint4* __restrict__ bias, const uint4* residual, uint4* output
) {
    const int64_t count = rows.width / eight;
    const int64_t place = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
    if (place >= count) return;
    const Eight terms = unpack(bias[place]);
    const int64_t first = static_cast<int64_t>(blockIdx.x) * rows_a_thread;
    #pragma unroll
    for (int i = 0; i < rows_a_thread; ++i) {
        const int64_t row = first + i;
        if (row >= rows.count) return;
        Eight numbers = unpack(input[row * count + place]);
        for (int j = 0; j < eight; ++j) numbers.of[j] += terms.of[j];
        if (behind == Behind::gelu) {
            for (float& x : numbers.of) x = 0.5f * x * (1 + erff(0.7071067811865475f * x));
        }
        if (behind == Behind::residual) {
            const Eight others = unpack(residual[row * count + place]);
            for (int j = 0; j < eight; ++j) numbers.of[j] += others.of[j];
        }
        output[row * count + place] = pack(numbers);
    }
}

void normalize(Rows rows, const void* input, const void* gamma, const void* beta, float epsilon, void* output) {
    const auto run = [&](auto kernel) {
        const auto blocks = static_cast<unsigned>((rows.count + norm_warps - 1) / norm_warps);
        kernel<<<blocks, norm_warps * lanes, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            rows, static_cast<const uint4*>(input), static_cast<const uint4*>(gamma), static_cast<const uint4*>(beta),
            epsilon, static_cast<uint4*>(output)
        );
    };
    switch ((rows.width / eight + lanes - 1) / lanes) {
    case 1: run(normalize_rows<1>); break;
    case 2: run(normalize_rows<2>); break;
    case 3: run(normalize_rows<3>); break;
    case 4: run(normalize_rows<4>); break;
    case 5: run(normalize_rows<5>); break;
    case 6: run(normalize_rows<6>); break;
    default: throw std::invalid_argument("rows are too wide for the layer norm of a card");
    }
    CUDA_CHECK(cudaGetLastError());
}

void add_bias(Rows rows, const void* input, const void* bias, Behind behind, const void* residual, void* output) {
    constexpr int64_t most_threads = 256;
    const int64_t count = rows.width / eight, parts = (count + most_threads - 1) / most_threads;
    const auto threads = static_cast<unsigned>((count + parts - 1) / parts);
    const dim3 blocks(static_cast<unsigned>((rows.count + rows_a_thread - 1) / rows_a_thread), static_cast<unsigned>(parts));
    const auto run = [&](auto kernel) {
        kernel<<<blocks, threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            rows, static_cast<const uint4*>(input), static_cast<const uint4*>(bias),
            static_cast<const uint4*>(residual), static_cast<uint4*>(output)
        );
    };
    switch (behind) {
    case Behind::nothing: run(add_bias_to_rows<Behind::nothing>); break;
    case Behind::gelu: run(add_bias_to_rows<Behind::gelu>); break;
    case Behind::residual: run(add_bias_to_rows<Behind::residual>); break;
    }
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace halkspeech
