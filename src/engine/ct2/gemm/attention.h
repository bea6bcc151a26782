// Attention on a processor with AVX2 and FMA.

#pragma once

#include <cstdint>

namespace halkspeech {

// What the width of a head is a multiple of.
constexpr int64_t tile_columns = 16;

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

// A float of 16 bits.
using Half = uint16_t;

// The attention of a decoder to a window's encoding. Keys and values are read once for each token that is written, from
// memory: so they are kept at 16 bits, packed, each window's by itself.
struct CrossAttention {
    int64_t heads;
    int64_t width;  // of a head, a multiple of `tile_columns`
    float scale;

    // Numbers that keys and values of n positions are packed into.
    int64_t packed_size(int64_t n) const;
    // Floats that a call of `attend` needs.
    int64_t memory(int64_t n) const;
    // Rows of all heads' keys, then all heads' values.
    void pack(int64_t n, const float* projected, Half* packed) const;
    // softmax(scale * Q * K^T) * V of one head, for m rows of all heads' queries, into rows of all heads' outputs.
    void attend(
        int64_t head, int64_t m, int64_t n, const float* queries, const Half* packed, float* output, float* memory
    ) const;
};

// softmax(scale * q * K^T) * V of every head for one row, whose keys lie in n rows anywhere, and their values so many
// floats behind them. Needs n floats of memory, in whole panels of `tile_columns`.
void attend_to_rows(
    int64_t n, int64_t heads, int64_t width, float scale, const float* query, const float* const* keys,
    int64_t values, float* output, float* memory
);

}  // namespace halkspeech
