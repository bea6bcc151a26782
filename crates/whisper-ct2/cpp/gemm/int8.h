// Products with 8-bit weights that are packed once, when a model is loaded: C [m, n] = A [m, k] * B + offsets.
// Sizes are in elements, matrices row-major. B is [k, n] or, transposed, [n, k]; rows of A are `lda` apart, of C `ldc`.
// A is unsigned; `offsets`, one for each column, compensate the shift of its values.

#pragma once

#include <cstdint>

namespace halkspeech {

struct Int8Kernels {
    // Packs for the number of threads set by `set_packing_threads`; if `packed` is null, returns the size in bytes.
    int64_t (*pack)(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed);
    void (*multiply)(
        int64_t m, int64_t n, int64_t k, const uint8_t* a, int64_t lda, const int8_t* packed, const int32_t* offsets,
        int32_t* c, int64_t ldc
    );
};

// For any CPU.
extern const Int8Kernels onednn_int8_kernels;
// The project's own: exact, and faster on CPUs with AVX2 but no later extensions (docs/performance.md). They compensate
// the shift of A themselves, and do not read the offsets.
extern const Int8Kernels avx2_int8_kernels;

// The operations on a product of activations and weights, in which each row and each column has a scale.
struct Int8Epilogue {
    const float* b_scales;  // of each column
    const float* bias;      // of each column, or null
    bool gelu;
    const float* residual;  // added last, in the layout of `y`; may be `y`, or null
    float* y;
    int64_t ldy;
};

// X [m, k] by weights that `avx2_int8_kernels` packed. X is quantized to 8-bit integers; `scales`, one for each row,
// are computed.
void multiply_with_epilogue(
    int64_t m, int64_t n, int64_t k, const float* x, float* scales, const int8_t* packed,
    const Int8Epilogue& epilogue
);

// Sets the number of threads of the next model loaded on this thread.
void set_packing_threads(int threads);

}  // namespace halkspeech
