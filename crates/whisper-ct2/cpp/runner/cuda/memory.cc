#include "memory.h"

#include <algorithm>

namespace halkspeech::cuda {

void* allocate(const Stream& stream, size_t bytes) {
    void* memory = nullptr;
    cudaError_t status = cudaMallocAsync(&memory, bytes, stream.get());
    if (status == cudaErrorMemoryAllocation) {
        // The pool may keep memory of other sizes: it goes back, and the GPU is asked once more.
        static_cast<void>(cudaGetLastError());
        cudaMemPool_t pool = nullptr;
        check(cudaDeviceGetDefaultMemPool(&pool, stream.device()));
        stream.synchronize();
        check(cudaMemPoolTrimTo(pool, 0));
        status = cudaMallocAsync(&memory, bytes, stream.get());
    }
    check(status);
    return memory;
}

void release(const Stream& stream, void* memory) noexcept {
    // Any thread may free. After a permanent error all memory is lost with the process.
    if (cudaSetDevice(stream.device()) == cudaSuccess) static_cast<void>(cudaFreeAsync(memory, stream.get()));
}

uint8_t* PinnedBytes::reserve(size_t size, size_t used) {
    if (size <= size_) return data_;
    const size_t larger = std::max(size, 2 * size_);
    void* memory = nullptr;
    check(cudaMallocHost(&memory, larger));
    if (used > 0) std::memcpy(memory, data_, used);
    static_cast<void>(cudaFreeHost(data_));
    data_ = static_cast<uint8_t*>(memory);
    size_ = larger;
    return data_;
}

void Tables::send() {
    uint8_t* to = device_.reserve(static_cast<int64_t>(used_));
    if (used_ > 0) check(cudaMemcpyAsync(to, host_.data(), used_, cudaMemcpyHostToDevice, stream_->get()));
}

}  // namespace halkspeech::cuda
