// Attention on a processor with AVX2 and FMA.

#pragma once

#include <cstdint>

namespace halkspeech {

// What the width of a head is a multiple of, or products are left to oneDNN.
constexpr int64_t tile_columns = 16;

// The attention of a decoder multiplies a few rows by long matrices that are read from memory once; oneDNN copies them
// first. Here they are read in place.
// C [m, n] = alpha * A [m, k] * B, all row-major and dense.
using Products = void(int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b, float* c);

// For B [k, n] or, transposed, [n, k]; null for sizes that are better left to oneDNN.
Products* products_in_place(bool transpose_b, int64_t m, int64_t n, int64_t k);

// The self-attention of an encoder, whose scores are too many to be written to memory and read again.
struct SelfAttention {
    int64_t n;          // rows: queries, keys and values
    int64_t width;      // of a head, a multiple of `tile_columns`
    int64_t ld;         // between rows of the projected: queries of all heads, then keys, then values
    int64_t ld_output;  // between rows of the output: all heads
    float scale;

    // Floats that a thread needs.
    int64_t memory() const;
};

// For every head softmax(scale * Q * K^T) * V. `memory` is that of all threads.
void self_attention(
    int64_t batch, int64_t heads, const SelfAttention& shape, const float* projected, float* output, float* memory
);

}  // namespace halkspeech
