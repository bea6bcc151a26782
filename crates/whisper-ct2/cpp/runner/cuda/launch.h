// Starts kernels.

#pragma once

#include <cstddef>

#include "stream.h"

// Memory of a block whose size the launch gives.
#ifndef HALKSPEECH_DYNAMIC_SHARED
#define HALKSPEECH_DYNAMIC_SHARED(Type, name) extern __shared__ Type name[]
#endif

namespace halkspeech::cuda {

struct Grid {
    dim3 blocks;
    unsigned threads;
    size_t shared_bytes = 0;
};

// Throws if the launch is refused; errors of the kernel itself come with a later call.
template <typename... Parameters, typename... Arguments>
void launch(const Stream& stream, const Grid& grid, void (*kernel)(Parameters...), Arguments... arguments) {
    if (grid.blocks.x == 0 || grid.blocks.y == 0) return;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid.blocks;
    config.blockDim = dim3(grid.threads);
    config.dynamicSmemBytes = grid.shared_bytes;
    config.stream = stream.get();
    check(cudaLaunchKernelEx(&config, kernel, arguments...));
}

}  // namespace halkspeech::cuda
