// Starts the attention for compute capability 9.0.

#include <stdexcept>

#include "../../cuda/flash_attention_sm90.h"
#include "../../cuda/flash_attention_sm90.cuh"
#include "flash.h"

namespace halkspeech::cuda {

namespace {

__global__ void report_instructions_kernel(int* has_them) {
#ifdef CUTE_ARCH_MMA_SM90A_ENABLED
    *has_them = 1;
#else
    *has_them = 0;
#endif
}

}  // namespace

void check_flash_attention_sm90(const Stream& stream) {
    stream.enter();
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, sizeof(int), stream.get()));
    report_instructions_kernel<<<1, 1, 0, stream.get()>>>(static_cast<int*>(memory));
    const cudaError_t launched = cudaGetLastError();
    int has_them = 0;
    const cudaError_t copied =
        cudaMemcpyAsync(&has_them, memory, sizeof has_them, cudaMemcpyDeviceToHost, stream.get());
    const cudaError_t done = cudaStreamSynchronize(stream.get());
    static_cast<void>(cudaFreeAsync(memory, stream.get()));
    check(launched);
    check(copied);
    check(done);
    if (has_them == 0)
        throw std::runtime_error("this build's code for compute capability 9.0 was not compiled for sm_90a");
}

void start_flash_attention_sm90(const Stream& stream, const WindowAttention& attention) {
    const dim3 grid(
        static_cast<unsigned>((attention.time + block_queries - 1) / block_queries),
        static_cast<unsigned>(attention.heads), 1
    );
    check(cudaFuncSetAttribute(
        flash_attention_sm90_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes
    ));
    flash_attention_sm90_kernel<<<grid, threads, shared_bytes, stream.get()>>>(
        attention.projected, attention.output, static_cast<int>(attention.time), attention.heads,
        attention.scale * static_cast<float>(M_LOG2E)
    );
    check(cudaGetLastError());
}

}  // namespace halkspeech::cuda
