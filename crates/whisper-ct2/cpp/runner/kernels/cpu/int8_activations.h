// Activations in the form for the products of int8_avx2.cc, which explains it.

#pragma once

#include <cstdint>
#include <vector>

namespace halkspeech {

// Adjacent elements of a column of weights.
constexpr int64_t quad_size = 4;
// Elements of a row whose products are added in 16 bits, in two sums.
constexpr int64_t group_size = 16;

constexpr int64_t ceil_div(int64_t x, int64_t by) { return (x + by - 1) / by; }
// k rounded up to a multiple of two groups; the rest is zeros.
constexpr int64_t padded_depth(int64_t k) { return ceil_div(k, 2 * group_size) * 2 * group_size; }

// A group of a row, and the compensation of the weights' shift in its two sums.
struct Group {
    int8_t a[group_size];
    int16_t shift[2];
};

// The part of four elements of a row that was split off, since their sums could overflow.
struct OutlierResidual {
    int32_t row;       // in the tile
    int32_t position;  // of the first element in the row
    int8_t a[quad_size];
    int16_t shift[2];
};

// Rows that are multiplied together. `groups` has the first group of all rows, then the second ones, and so on.
struct ActivationTile {
    int64_t rows;
    std::vector<Group> groups;
    std::vector<OutlierResidual> residuals;
};

// From rows of floats, `ld` apart, that are quantized to 8-bit integers with a scale for each row: to nearest if
// `round`, else towards zero.
struct FloatRows {
    int64_t rows, k;
    const float* x;
    int64_t ld;
    bool round;
};
void prepare(ActivationTile& tile, int64_t max_squares, const FloatRows& from, float* scales);

}  // namespace halkspeech
