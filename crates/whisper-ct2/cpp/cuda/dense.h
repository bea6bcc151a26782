// A linear layer on 16-bit floats of a GPU; bias and residual are added in the epilogue of the matrix product.

#pragma once

#include <cstdint>

namespace halkspeech {

// The product of [rows, width] by the transpose of [outputs, width].
struct DenseShape {
    int64_t rows, outputs, width;
};

#ifdef HALKSPEECH_CUDA

// `bias` [outputs] and `residual` [rows, outputs] may be null. Row-major. Runs on CTranslate2's stream of this thread.
// Returns false if cuBLAS does not support the product; throws std::runtime_error with CUDA's message.
bool dense_on_gpu(
    const DenseShape& shape, const void* input, const void* weights, const void* bias, const void* residual,
    void* output
);

#else

inline bool dense_on_gpu(const DenseShape&, const void*, const void*, const void*, const void*, void*) { return false; }

#endif

}  // namespace halkspeech
