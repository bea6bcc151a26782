// A linear layer on 16-bit floats of a card, its bias and the residual added in the registers of the product.

#pragma once

#include <cstdint>

namespace halkspeech {

// [rows, width] by the transpose of [outputs, width].
struct DenseShape {
    int64_t rows, outputs, width;
};

#ifdef HALKSPEECH_CUDA

// `bias` and `residual` [rows, outputs] may be null. Row-major. Runs on CTranslate2's stream of this thread. False where
// cuBLAS has no such product; throws std::runtime_error with what CUDA says.
bool dense_on_card(
    const DenseShape& shape, const void* input, const void* weights, const void* bias, const void* residual, void* output
);

#else

inline bool dense_on_card(const DenseShape&, const void*, const void*, const void*, const void*, void*) { return false; }

#endif

}  // namespace halkspeech
