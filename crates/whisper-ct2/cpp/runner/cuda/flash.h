// Attention of the encoder without storing the scores (../../cuda/flash_attention.cuh, flash_attention_sm90.cuh),
// started by the files of their architectures.

#pragma once

#include <cstdint>

#include <cuda_fp16.h>

#include "stream.h"

namespace halkspeech::cuda {

struct WindowAttention {
    int64_t time, heads;
    float scale;
    const __half* projected;  // [time, 3, heads, 64]
    __half* output;           // [time, heads, 64]
    float* workspace;         // [heads, time]
};

// For compute capability 8.0 and later; for 9.0 with its own instructions.
void start_flash_attention(const Stream& stream, const WindowAttention& attention);
void start_flash_attention_sm90(const Stream& stream, const WindowAttention& attention);

// Throws unless the program has machine code for the current GPU; for 9.0 also if that was compiled for `sm_90`, which
// lacks the instructions, instead of `sm_90a`.
void check_flash_attention(const Stream& stream);
void check_flash_attention_sm90(const Stream& stream);

}  // namespace halkspeech::cuda
