// Attention of Whisper's encoder on a GPU.

#pragma once

#include <cstdint>

namespace halkspeech {

struct FlashShape {
    int64_t batch, time, heads;
    float scale;  // factor of the queries
};

#ifdef HALKSPEECH_CUDA

// Whether the current GPU supports it for heads of this width.
bool has_flash_attention(int64_t head_width);

// Row-major 16-bit floats of the current GPU: `projected` [batch, time, 3, heads, head width] has queries, keys and
// values; `output` is [batch, time, heads, head width]. `workspace` has batch * heads * time elements. Runs on
// CTranslate2's stream of this thread. Throws std::runtime_error with CUDA's message.
void flash_attention(const FlashShape& shape, const void* projected, void* output, float* workspace);

#else

inline bool has_flash_attention(int64_t) { return false; }
inline void flash_attention(const FlashShape&, const void*, void*, float*) {}

#endif

}  // namespace halkspeech
