// The table of CPU kernels: one row per instruction set, chosen once from the processor's features (dispatch.cc).
//
// Matrices are row-major, sizes are in elements. Weights W [n, k] are packed once, when a model is loaded. For a given
// table a number of a result depends only on its own row of X: never on the number of rows, or of threads.

#pragma once

#include <cstdint>

namespace halkspeech {

// What is done with a product before it is stored: Y = activation(X * W^T + bias) + residual.
struct Epilogue {
    const float* bias;      // [n], or null
    bool gelu;
    const float* residual;  // [m, ldy], or null; may be `y`
    float* y;
    int64_t ldy;
};

// Rows of activations, `ld` apart; rows may overlap.
struct Rows {
    int64_t m, k;
    const float* x;
    int64_t ld;
};

struct FloatProducts {
    int64_t panel;  // columns that are multiplied together
    int64_t (*packed_size)(int64_t n, int64_t k);
    void (*pack)(int64_t n, int64_t k, const float* w, float* packed);
    // Row `row` of W.
    void (*unpack_row)(int64_t k, const float* packed, int64_t row, float* w);
    // For the panels [first, last).
    void (*multiply)(int64_t first, int64_t last, int64_t n, const Rows& x, const float* packed, const Epilogue& y);
};

// 8-bit weights, and activations that are quantized by row as CTranslate2 does: scaled by 127 / max |x|.
struct Int8Products {
    int64_t (*packed_size)(int64_t n, int64_t k);
    void (*pack)(int64_t n, int64_t k, const int8_t* w, int8_t* packed);
    void (*unpack_row)(int64_t k, const int8_t* packed, int64_t row, int8_t* w);
    // `scales` [n] are those of the weights' rows; `round` rounds activations to nearest instead of towards zero.
    // Uses the calling thread's OpenMP threads.
    void (*multiply)(
        int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales, const Epilogue& y
    );
};

// The attention of one head: softmax(scale * Q * K^T) * V, with keys and values packed as `Number`s.
template <typename Number>
struct HeadAttention {
    int64_t (*packed_size)(int64_t n, int64_t width);
    // From rows of keys and of values, `ld` apart.
    void (*pack)(int64_t n, int64_t width, const float* keys, const float* values, int64_t ld, Number* packed);
    // Floats of workspace for `attend`.
    int64_t (*workspace_size)(int64_t n);
    // For m queries, `ld` apart; rows of the output are `ld_output` apart.
    void (*attend)(
        int64_t m, int64_t n, int64_t width, float scale, const float* queries, int64_t ld, const Number* packed,
        float* output, int64_t ld_output, float* workspace
    );
    // Q * K^T of one query, n scores.
    void (*scores)(int64_t n, int64_t width, const float* query, const Number* packed, float* scores);
};

// A 16-bit float.
using Half = uint16_t;

struct Kernels {
    const char* name;
    FloatProducts floats;
    Int8Products int8;
    HeadAttention<float> attention;
    HeadAttention<Half> half_attention;
    // All heads of one query to n rows. `keys` are pointers to the rows; values lie `values` floats behind them.
    // `workspace` has n floats.
    void (*attend_to_rows)(
        int64_t n, int64_t heads, int64_t width, float scale, const float* query, const float* const* keys,
        int64_t values, float* output, float* workspace
    );
    void (*layer_norm)(
        int64_t n, const float* x, const float* gamma, const float* beta, float epsilon, float* y
    );
    float (*max)(int64_t n, const float* x);
    float (*log_sum_exp)(int64_t n, const float* x);
    void (*gelu)(int64_t n, float* x);
    // The k largest, largest first; of equal ones the first. k is at most n.
    void (*top_k)(int64_t k, int64_t n, const float* x, float* values, int32_t* ids);
};

// The table for this processor.
const Kernels& kernels();

// Rows of the table; null where the processor cannot run it.
const Kernels* generic_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

// For tests and benches: takes the table of this name from now on. False if the processor cannot run it.
bool select_kernels(const char* name);

// `floats.multiply` for all panels, on the calling thread's OpenMP threads.
void multiply_floats(
    const Kernels& kernels, int64_t n, const Rows& x, const float* packed, const Epilogue& y
);

}  // namespace halkspeech
