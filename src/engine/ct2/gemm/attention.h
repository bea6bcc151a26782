// The attention of a decoder multiplies a few rows by long matrices that are read from memory once; oneDNN copies them
// first. Here they are read in place.

#pragma once

#include <cstdint>

namespace halkspeech {

// C [m, n] = alpha * A [m, k] * B, all row-major and dense; needs AVX2 and FMA.
using Products = void(int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b, float* c);

// For B [k, n] or, transposed, [n, k]; null for sizes that are better left to oneDNN.
Products* products_in_place(bool transpose_b, int64_t m, int64_t n, int64_t k);

}  // namespace halkspeech
