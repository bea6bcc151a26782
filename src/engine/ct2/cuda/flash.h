// Attention of Whisper's encoder on a card.

#pragma once

#include <cstdint>

namespace halkspeech {

struct FlashShape {
    int64_t batch, time, heads;
    float scale;  // of the queries
};

#ifdef HALKSPEECH_CUDA

// Whether the current card has the instructions, for heads of this width.
bool has_flash_attention(int64_t head_width);

// Row-major 16-bit floats of the current card: `projected` is [batch, time, 3, heads, head width], queries, keys and
// values side by side; `output` is [batch, time, heads, head width]. `memory` has room for batch * heads * time.
// Runs on CTranslate2's stream of this thread. Throws std::runtime_error with what CUDA says.
void flash_attention(const FlashShape& shape, const void* projected, void* output, float* memory);

#else

inline bool has_flash_attention(int64_t) { return false; }
inline void flash_attention(const FlashShape&, const void*, void*, float*) {}

#endif

}  // namespace halkspeech
