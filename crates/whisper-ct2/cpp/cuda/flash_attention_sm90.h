// The attention of flash_attention.h for compute capability 9.0.

#pragma once

#include "flash_attention.h"

namespace halkspeech {

// For heads of width 64. Runs on CTranslate2's stream of this thread; throws std::runtime_error with CUDA's message.
void flash_attention_sm90(const FlashShape& shape, const void* projected, void* output);

}  // namespace halkspeech
