// The attention of flash.h, as compute capability 9.0 does it best.

#pragma once

#include "flash.h"

namespace halkspeech {

// Of heads 64 wide. Runs on CTranslate2's stream of this thread; throws std::runtime_error with what CUDA says.
void hopper_attention(const FlashShape& shape, const void* projected, void* output);

}  // namespace halkspeech
