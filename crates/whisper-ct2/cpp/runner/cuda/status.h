// CUDA's errors as exceptions.

#pragma once

#include <stdexcept>
#include <string>

#include <cuda_runtime.h>

#include "../device_error.h"

namespace halkspeech::cuda {

// Throws `DeviceOutOfMemory` or `std::runtime_error` with CUDA's message.
inline void check(cudaError_t status) {
    if (status == cudaSuccess) return;
    // CUDA keeps an error for the next call that asks; one that is not permanent must not fail other work.
    static_cast<void>(cudaGetLastError());
    const std::string message = std::string("CUDA failed with error ") + cudaGetErrorString(status);
    if (status == cudaErrorMemoryAllocation) throw DeviceOutOfMemory(message);
    throw std::runtime_error(message);
}

}  // namespace halkspeech::cuda
