// Products with 8-bit weights that are packed once, when a model is loaded: C [m, n] = A [m, k] * B + offsets.
// Sizes are in elements, matrices row-major. B is [k, n] or, transposed, [n, k]; rows of A are `lda` apart, of C `ldc`.
// A is unsigned; `offsets`, one for each column, take back what its values are shifted by.

#pragma once

#include <cstdint>

namespace halkspeech {

struct Int8Kernels {
    // Packs for the threads that `pack_for` told; returns the bytes needed where `packed` is null.
    int64_t (*pack)(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed);
    void (*multiply)(
        int64_t m, int64_t n, int64_t k, const uint8_t* a, int64_t lda, const int8_t* packed, const int32_t* offsets,
        int32_t* c, int64_t ldc
    );
};

// For any processor.
extern const Int8Kernels int8_of_onednn;
// Ours, exact, and faster on processors that have nothing more than AVX2 (docs/performance.md). It takes the shift of A
// back itself, and does not read the offsets.
extern const Int8Kernels int8_for_avx2;

// What becomes of a product of activations and weights, of which each row and each column has its scale.
struct Finish {
    const float* b_scales;  // of each column
    const float* bias;      // of each column, or null
    bool gelu;
    const float* residual;  // that is added at last, laid out as `y`; may be it, or null
    float* y;
    int64_t ldy;
};

// X [m, k] by weights that `int8_for_avx2` packed. X becomes 8-bit integers by `scales`, one for each row, that are
// found here.
void multiply_and_finish(
    int64_t m, int64_t n, int64_t k, const float* x, float* scales, const int8_t* packed, const Finish& finish
);

// How many threads the model that this thread loads next will run on.
void pack_for(int threads);

}  // namespace halkspeech
