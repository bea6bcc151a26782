#include "layer_norm.h"

#include <stdexcept>

#include <cuda/utils.h>

#include "layer_norm.cuh"

namespace halkspeech {

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
