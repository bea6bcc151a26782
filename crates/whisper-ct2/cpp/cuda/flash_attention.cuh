// Attention on a GPU without storing the scores: FlashAttention 2 (https://arxiv.org/abs/2307.08691), compiled from the
// sources in CTranslate2, where ct2rs cannot enable it. Compute capability 9.0 has its own kernel
// (flash_attention_sm90.h).

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <ctranslate2/ops/flash-attention/flash.h>
#include <ctranslate2/ops/flash-attention/flash_fwd_kernel.h>

#include "flash_attention.h"

namespace halkspeech {

constexpr int width = 64;  // of a head, in every Whisper
// Queries and keys of a block, and its warps: FlashAttention's values for heads of this width.
using Traits = Flash_fwd_kernel_traits<width, 128, 128, 4, false, false, cutlass::half_t>;

// Not in an anonymous namespace: nvcc confuses it with that of CUTLASS.
__global__ void flash_attention_kernel(__grid_constant__ const Flash_fwd_params params) {
#if __CUDA_ARCH__ >= 800
    // Not causal, not local, without bias; any length; heads as wide as the block; without returning the scores.
    flash::compute_attn<Traits, false, false, false, false, true, false>(params);
#endif
}

// The kernel's parameters for the arguments of `flash_attention`.
inline Flash_fwd_params flash_parameters(
    const FlashShape& shape, const void* projected, void* output, float* workspace
) {
    const int64_t all = shape.heads * width;
    const auto* first = static_cast<const cutlass::half_t*>(projected);
    Flash_fwd_params params;
    std::memset(&params, 0, sizeof params);
    params.q_ptr = const_cast<cutlass::half_t*>(first);
    params.k_ptr = const_cast<cutlass::half_t*>(first + all);
    params.v_ptr = const_cast<cutlass::half_t*>(first + 2 * all);
    params.q_head_stride = params.k_head_stride = params.v_head_stride = width;
    params.q_row_stride = params.k_row_stride = params.v_row_stride = 3 * all;
    params.q_batch_stride = params.k_batch_stride = params.v_batch_stride = 3 * all * shape.time;
    params.o_ptr = output;
    params.o_head_stride = width;
    params.o_row_stride = all;
    params.o_batch_stride = all * shape.time;
    params.softmax_lse_ptr = workspace;
    params.b = static_cast<int>(shape.batch);
    params.h = params.h_k = static_cast<int>(shape.heads);
    params.h_h_k_ratio = 1;
    params.seqlen_q = params.seqlen_k = static_cast<int>(shape.time);
    const auto rounded = [](int64_t length, int64_t step) {
        return static_cast<int>((length + step - 1) / step * step);
    };
    params.seqlen_q_rounded = params.seqlen_k_rounded = rounded(shape.time, 128);
    params.d = params.d_rounded = width;
    params.scale_softmax = shape.scale;
    params.scale_softmax_log2 = shape.scale * static_cast<float>(M_LOG2E);
    params.p_dropout = params.rp_dropout = 1;
    params.p_dropout_in_uint8_t = 255;
    params.scale_softmax_rp_dropout = shape.scale;
    params.window_size_left = params.window_size_right = -1;
    params.is_seqlens_k_cumulative = true;
    return params;
}

}  // namespace halkspeech
