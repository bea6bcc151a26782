// Products with 8-bit weights whose activations are quantized row by row before all panels of weights are multiplied.

#pragma once

#include <cstdint>

#include "../kernels.h"

namespace halkspeech {

// Quantized activations: rows of `depth` bytes, zeros behind the k elements, and whole blocks of rows.
struct Int8Rows {
    const int8_t* q;
    int64_t m, depth;
    const float* scales;   // of each row
    const int32_t* sums;   // of each row's elements
};

struct Int8Panels {
    int64_t panel;          // columns of a panel
    int64_t depth_multiple;  // to which k is rounded up
    float (*quantize_row)(int64_t k, const float* x, bool round, int8_t* q);
    // For the panels [first, last).
    void (*multiply)(
        int64_t first, int64_t last, int64_t n, const Int8Rows& x, const int8_t* packed, const float* scales,
        const Epilogue& y
    );
};

// Rows of quantized activations exist in multiples of this.
constexpr int64_t int8_row_block = 32;

void multiply_int8(
    const Int8Panels& panels, int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales,
    const Epilogue& y
);

}  // namespace halkspeech
