// Attention on a GPU without storing the scores: FlashAttention 2 (https://arxiv.org/abs/2307.08691), compiled from the
// sources in CTranslate2, where ct2rs cannot enable it. Compute capability 9.0 has its own kernel
// (flash_attention_sm90.h).

#include "flash_attention.h"

#include <cuda/utils.h>

#include "flash_attention.cuh"
#include "flash_attention_sm90.h"

namespace halkspeech {

bool has_flash_attention(int64_t head_width) {
    return head_width == width && ctranslate2::cuda::get_device_properties().major >= 8;
}

void flash_attention(const FlashShape& shape, const void* projected, void* output, float* workspace) {
    if (ctranslate2::cuda::get_device_properties().major == 9) return flash_attention_sm90(shape, projected, output);
    const Flash_fwd_params params = flash_parameters(shape, projected, output, workspace);
    constexpr int shared = Traits::kSmemSize;
    CUDA_CHECK(
        cudaFuncSetAttribute(flash_attention_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared)
    );
    const dim3 grid(params.seqlen_q_rounded / Traits::kBlockM, params.b, params.h);
    flash_attention_kernel<<<grid, Traits::kNThreads, shared, ctranslate2::cuda::get_cuda_stream()>>>(params);
    CUDA_CHECK(cudaGetLastError());
}

}  // namespace halkspeech
