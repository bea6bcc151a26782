// Exact products with 8-bit weights on AVX2, whose own instruction saturates. See `Int8Products`.

#pragma once

#include <cstdint>

#include "../kernels.h"

namespace halkspeech {

int64_t int8_avx2_packed_size(int64_t n, int64_t k);
void pack_int8_avx2(int64_t n, int64_t k, const int8_t* w, int8_t* packed);
void unpack_int8_avx2(int64_t k, const int8_t* packed, int64_t row, int8_t* w);
void multiply_int8_avx2(
    int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales, const Epilogue& y
);

}  // namespace halkspeech
