#include "layer_norm.h"

#include <stdexcept>

#include <cuda/utils.h>

#include "half8.h"

namespace halkspeech {

constexpr int lanes = 32;
constexpr unsigned all_lanes = 0xffffffff;

__device__ float warp_sum(float sum) {
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

void layer_norm(RowShape rows, const void* input, const void* gamma, const void* beta, float epsilon, void* output) {
    const auto run = [&](auto kernel) {
        const auto blocks = static_cast<unsigned>((rows.count + layer_norm_warps - 1) / layer_norm_warps);
        kernel<<<blocks, layer_norm_warps * lanes, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            rows, static_cast<const uint4*>(input), static_cast<const uint4*>(gamma), static_cast<const uint4*>(beta),
            epsilon, static_cast<uint4*>(output)
        );
    };
    switch ((rows.width / half8_width + lanes - 1) / lanes) {
    case 1: run(layer_norm_kernel<1>); break;
    case 2: run(layer_norm_kernel<2>); break;
    case 3: run(layer_norm_kernel<3>); break;
    case 4: run(layer_norm_kernel<4>); break;
    case 5: run(layer_norm_kernel<5>); break;
    case 6: run(layer_norm_kernel<6>); break;
    default: throw std::invalid_argument("rows are too wide for the layer norm on a GPU");
    }
    CUDA_CHECK(cudaGetLastError());
}

void add_bias(
    RowShape rows, const void* input, const void* bias, BiasEpilogue epilogue, const void* residual, void* output
) {
    constexpr int64_t max_threads = 256;
    const int64_t count = rows.width / half8_width, parts = (count + max_threads - 1) / max_threads;
    const auto threads = static_cast<unsigned>((count + parts - 1) / parts);
    const dim3 blocks(
        static_cast<unsigned>((rows.count + rows_per_thread - 1) / rows_per_thread), static_cast<unsigned>(parts)
    );
    const auto run = [&](auto kernel) {
        kernel<<<blocks, threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            rows, static_cast<const uint4*>(input), static_cast<const uint4*>(bias),
            static_cast<const uint4*>(residual), static_cast<uint4*>(output)
        );
    };
    switch (epilogue) {
    case BiasEpilogue::none: run(add_bias_kernel<BiasEpilogue::none>); break;
    case BiasEpilogue::gelu: run(add_bias_kernel<BiasEpilogue::gelu>); break;
    case BiasEpilogue::residual: run(add_bias_kernel<BiasEpilogue::residual>); break;
    }
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace halkspeech
