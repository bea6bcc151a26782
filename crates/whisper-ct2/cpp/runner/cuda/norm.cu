// Starts the kernels of layer_norm.cuh.

#include "../../cuda/layer_norm.cuh"

#include <stdexcept>

#include "kernels.h"

namespace halkspeech::cuda {

void layer_norm(
    const Stream& stream, RowShape rows, const __half* input, const __half* gamma, const __half* beta, float epsilon,
    __half* output
) {
    const auto run = [&](auto kernel) {
        const auto blocks = static_cast<unsigned>((rows.count + layer_norm_warps - 1) / layer_norm_warps);
        launch(
            stream, {dim3(blocks), layer_norm_warps * lanes}, kernel, rows, reinterpret_cast<const uint4*>(input),
            reinterpret_cast<const uint4*>(gamma), reinterpret_cast<const uint4*>(beta), epsilon,
            reinterpret_cast<uint4*>(output)
        );
    };
    switch ((rows.width / half8_width + lanes - 1) / lanes) {
    case 1: return run(layer_norm_kernel<1>);
    case 2: return run(layer_norm_kernel<2>);
    case 3: return run(layer_norm_kernel<3>);
    case 4: return run(layer_norm_kernel<4>);
    case 5: return run(layer_norm_kernel<5>);
    case 6: return run(layer_norm_kernel<6>);
    default: throw std::invalid_argument("rows are too wide for the layer norm on a GPU");
    }
}

void add_bias_and_gelu(const Stream& stream, RowShape rows, const __half* bias, __half* x) {
    constexpr int64_t max_threads = 256;
    const int64_t count = rows.width / half8_width, parts = (count + max_threads - 1) / max_threads;
    const auto threads = static_cast<unsigned>((count + parts - 1) / parts);
    const dim3 blocks(
        static_cast<unsigned>((rows.count + rows_per_thread - 1) / rows_per_thread), static_cast<unsigned>(parts)
    );
    auto* vectors = reinterpret_cast<uint4*>(x);
    launch(
        stream, {blocks, threads}, add_bias_kernel<BiasEpilogue::gelu>, rows, const_cast<const uint4*>(vectors),
        reinterpret_cast<const uint4*>(bias), static_cast<const uint4*>(nullptr), vectors
    );
}

}  // namespace halkspeech::cuda
