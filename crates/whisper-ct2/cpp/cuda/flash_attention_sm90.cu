#include "flash_attention_sm90.h"

#include <cuda/utils.h>

#include "flash_attention_sm90.cuh"

namespace halkspeech {

void flash_attention_sm90(const FlashShape& shape, const void* projected, void* output) {
    const dim3 grid(
        static_cast<unsigned>((shape.time + block_queries - 1) / block_queries), static_cast<unsigned>(shape.heads),
        static_cast<unsigned>(shape.batch)
    );
    CUDA_CHECK(cudaFuncSetAttribute(
        flash_attention_sm90_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes
    ));
    flash_attention_sm90_kernel<<<grid, threads, shared_bytes, ctranslate2::cuda::get_cuda_stream()>>>(
        static_cast<const __half*>(projected), static_cast<__half*>(output), static_cast<int>(shape.time), shape.heads,
        shape.scale * static_cast<float>(M_LOG2E)
    );
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace halkspeech
