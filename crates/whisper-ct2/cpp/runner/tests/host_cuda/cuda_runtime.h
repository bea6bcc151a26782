// CUDA on a processor, for tests: what the runner uses of the runtime and of the language. A kernel's threads are
// fibers of the calling thread, which switch at barriers and shuffles only; their order can be changed, so that a
// missing barrier shows. A barrier that not all threads of a block reach, or a shuffle without all of a warp, ends the
// program. New memory is not a number.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define HALKSPEECH_DYNAMIC_SHARED(Type, name) Type* name = static_cast<Type*>(host_cuda::dynamic_shared())

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct float2 {
    float x, y;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {

enum class Order { forward, backward, shuffled };
// Of the fibers of a warp, and of the warps of a block.
void set_order(Order order);
// The allocations after `count` further ones fail; negative: none.
void fail_allocations_after(int64_t count);
// Bytes of all allocations on the "GPU" that are not freed.
int64_t allocated_bytes();

void* dynamic_shared();
void wait_for_block();
void wait_for_warp();
// The value of the lane that differs by `step`.
void exchange(void* value, size_t size, int step);
void run(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace host_cuda

inline void __syncthreads() { host_cuda::wait_for_block(); }
inline void __syncwarp() { host_cuda::wait_for_warp(); }
template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int step) {
    host_cuda::exchange(&value, sizeof value, step);
    return value;
}
inline float __expf(float x) { return std::exp(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaDeviceAttr { cudaDevAttrMemoryPoolsSupported };
enum cudaMemPoolAttr {
    cudaMemPoolAttrReleaseThreshold,
    cudaMemPoolAttrReservedMemCurrent,
    cudaMemPoolAttrUsedMemCurrent
};
using cudaStream_t = struct HostStream*;
using cudaEvent_t = struct HostEvent*;
using cudaMemPool_t = struct HostPool*;
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

struct cudaDeviceProp {
    char name[256];
    int major, minor;
};

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(
    const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments... arguments
) {
    host_cuda::run(config->gridDim, config->blockDim, config->dynamicSmemBytes, [=] {
        kernel(static_cast<Parameters>(arguments)...);
    });
    return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
inline cudaError_t cudaMalloc(void** memory, size_t bytes) { return cudaMallocAsync(memory, bytes, nullptr); }
inline cudaError_t cudaFree(void* memory) { return cudaFreeAsync(memory, nullptr); }

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 1, cudaSuccess; }
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
    std::memset(value, 0, sizeof(uint64_t));
    return cudaSuccess;
}
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(
    void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t bytes, size_t rows, cudaMemcpyKind,
    cudaStream_t
);
