// Activations as the products of int8_avx2.cc want them, which says why.

#pragma once

#include <cstdint>
#include <vector>

namespace halkspeech {

// Elements of a column of weights that lie beside each other.
constexpr int64_t deep = 4;
// Elements of a row whose products are added at 16 bits, two sums of them.
constexpr int64_t group = 16;

constexpr int64_t divided_up(int64_t x, int64_t by) { return (x + by - 1) / by; }
// What k is filled up to with zeros.
constexpr int64_t filled(int64_t k) { return divided_up(k, 2 * group) * 2 * group; }

// A group of a row, and what takes the shift of the weights back from its two sums.
struct Group {
    int8_t a[group];
    int16_t shift[2];
};

// What was taken out of four elements of a row.
struct Rest {
    int32_t row;       // of its tile
    int32_t position;  // of the first of them in the row
    int8_t a[deep];
    int16_t shift[2];
};

// Rows that are multiplied at once: the groups of all of them, then the next ones.
struct TileOfA {
    int64_t rows;
    std::vector<Group> groups;
    std::vector<Rest> rests;
};

// Of rows of bytes that are shifted by 128, `lda` apart. `most_squares` is what the eight elements of a sum may have.
void prepare(TileOfA& tile, int64_t most_squares, int64_t rows, int64_t k, const uint8_t* a, int64_t lda);

// Of rows of floats that lie dense. They become 8-bit integers, each row by its own scale.
void prepare(TileOfA& tile, int64_t most_squares, int64_t rows, int64_t k, const float* x, float* scales);

}  // namespace halkspeech
