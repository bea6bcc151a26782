// Starts FlashAttention 2.

#include "flash.h"

#include "../../cuda/flash_attention.cuh"

namespace halkspeech::cuda {

void check_flash_attention(const Stream& stream) {
    stream.enter();
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, flash_attention_kernel));
}

void start_flash_attention(const Stream& stream, const WindowAttention& attention) {
    const FlashShape shape = {1, attention.time, attention.heads, attention.scale};
    const Flash_fwd_params params = flash_parameters(
        shape, attention.projected, attention.output, attention.workspace
    );
    constexpr int shared = Traits::kSmemSize;
    check(cudaFuncSetAttribute(flash_attention_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
    const dim3 grid(params.seqlen_q_rounded / Traits::kBlockM, params.b, params.h);
    flash_attention_kernel<<<grid, Traits::kNThreads, shared, stream.get()>>>(params);
    check(cudaGetLastError());
}

}  // namespace halkspeech::cuda
