// Attention on a CPU with AVX2 and FMA.

#pragma once

#include <cstdint>

namespace halkspeech {

// The width of a head must be a multiple of this.
constexpr int64_t tile_columns = 16;

// The self-attention of an encoder, without storing all scores in memory.
struct SelfAttention {
    int64_t n;          // rows: queries, keys and values
    int64_t width;      // of a head, a multiple of `tile_columns`
    int64_t ld;         // between rows of the projections: queries of all heads, then keys, then values
    int64_t ld_output;  // between rows of the output: all heads
    float scale;

    // Floats of workspace for each thread.
    int64_t workspace_size() const;
};

// softmax(scale * Q * K^T) * V for every head. `workspace` is that of all threads.
void self_attention(
    int64_t batch, int64_t heads, const SelfAttention& shape, const float* projected, float* output, float* workspace
);

// A 16-bit float.
using Half = uint16_t;

// The attention of a decoder to a window's encoding. Keys and values are read from memory once for each generated
// token: so they are packed as 16-bit floats, separately for each window.
struct CrossAttention {
    int64_t heads;
    int64_t width;  // of a head, a multiple of `tile_columns`
    float scale;

    // Number of elements of packed keys and values of n positions.
    int64_t packed_size(int64_t n) const;
    // Floats of workspace for a call of `attend`.
    int64_t workspace_size(int64_t n) const;
    // Packs rows of all heads' keys, then all heads' values.
    void pack(int64_t n, const float* projected, Half* packed) const;
    // softmax(scale * Q * K^T) * V of one head, for m rows of all heads' queries, into rows of all heads' outputs.
    void attend(
        int64_t head, int64_t m, int64_t n, const float* queries, const Half* packed, float* output, float* workspace
    ) const;
};

// softmax(scale * q * K^T) * V of every head for one row of queries. `keys` are pointers to n rows; their values are
// `values` floats after them. `workspace` has n floats, rounded up to a multiple of `tile_columns`.
void attend_to_rows(
    int64_t n, int64_t heads, int64_t width, float scale, const float* query, const float* const* keys,
    int64_t values, float* output, float* workspace
);

}  // namespace halkspeech
