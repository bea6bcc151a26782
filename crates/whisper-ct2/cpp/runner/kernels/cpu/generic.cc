// The kernels for any processor, in vectors of four numbers that the compiler translates.

#ifdef __aarch64__
#include <arm_neon.h>
#endif

#include "../kernels.h"
#include "int8_rows.h"

namespace halkspeech {

namespace {

#define HALKSPEECH_LANES 4
#include "simd.h"
#include "products.inc"
#include "attention.inc"
#include "rows.inc"

// 8-bit weights stay rows, padded with zeros.
constexpr int64_t depth_multiple = 16;

int64_t int8_packed_size(int64_t n, int64_t k) {
    return ceil_div(n, panel) * panel * ceil_div(k, depth_multiple) * depth_multiple;
}

void pack_int8(int64_t n, int64_t k, const int8_t* w, int8_t* packed) {
    const int64_t depth = ceil_div(k, depth_multiple) * depth_multiple;
    for (int64_t j = 0; j < ceil_div(n, panel) * panel; ++j) {
        for (int64_t p = 0; p < depth; ++p) *packed++ = j < n && p < k ? w[j * k + p] : int8_t{0};
    }
}

void unpack_int8(int64_t k, const int8_t* packed, int64_t row, int8_t* w) {
    const int8_t* from = packed + row * ceil_div(k, depth_multiple) * depth_multiple;
    for (int64_t p = 0; p < k; ++p) w[p] = from[p];
}

void multiply_int8_panels(
    int64_t first, int64_t last, int64_t n, const Int8Rows& x, const int8_t* packed, const float* scales,
    const Epilogue& y
) {
    float products[panel];
    for (int64_t at = first; at < last; ++at) {
        const int64_t j = at * panel;
        for (int64_t i = 0; i < x.m; ++i) {
            for (int64_t c = 0; c < panel; ++c) {
                const int8_t* w = packed + (j + c) * x.depth;
                const int8_t* q = x.q + i * x.depth;
                int32_t sum = 0;
                for (int64_t p = 0; p < x.depth; ++p) sum += static_cast<int32_t>(q[p]) * w[p];
                const float scale = j + c < n ? scales[j + c] : 1;
                products[c] = static_cast<float>(sum) * (1 / x.scales[i]) * (1 / scale);
            }
            store_tile(products, 1, i, j, smallest(panel, n - j), y);
        }
    }
}

void multiply_int8_weights(
    int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales, const Epilogue& y
) {
    multiply_int8({panel, depth_multiple, quantize_row, multiply_int8_panels}, n, x, round, packed, scales, y);
}

#define HALKSPEECH_NAME "generic"
#define HALKSPEECH_INT8 {int8_packed_size, pack_int8, unpack_int8, multiply_int8_weights}
#include "table.inc"

}  // namespace

const Kernels* generic_kernels() { return &table; }

}  // namespace halkspeech
