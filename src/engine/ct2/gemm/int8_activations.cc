#include "int8_activations.h"
#include "avx2.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace halkspeech {

namespace {

// Of one sign, in a pair.
constexpr int most_of_pair = 128;

void take_shift_back(const int8_t* a, int64_t n, int16_t* shift) {
    for (int64_t p = 0; p < n; ++p) shift[p / 2 % 2] = static_cast<int16_t>(shift[p / 2 % 2] - 128 * a[p]);
}

// Moves so much out of the group that its sums come out right.
void relieve(Group& of, int64_t most_squares, int32_t row, int32_t position, std::vector<Rest>& rests) {
    const auto move = [&](int64_t pair, int first, int second) {
        int8_t* a = of.a + 2 * pair;
        a[0] = static_cast<int8_t>(a[0] - first);
        a[1] = static_cast<int8_t>(a[1] - second);
        Rest rest = {row, position + static_cast<int32_t>(2 * pair / deep * deep), {}, {}};
        int8_t* to = rest.a + 2 * pair % deep;
        to[0] = static_cast<int8_t>(first);
        to[1] = static_cast<int8_t>(second);
        take_shift_back(rest.a, deep, rest.shift);
        rests.push_back(rest);
    };
    const auto sum_of = [&](int64_t pair) { return of.a[2 * pair] + of.a[2 * pair + 1]; };
    for (int64_t pair = 0; pair < group / 2; ++pair) {
        const int sum = sum_of(pair);
        if (std::abs(sum) > most_of_pair) move(pair, sum > 0 ? sum - most_of_pair : sum + most_of_pair, 0);
    }
    const auto squares_of = [&](int64_t pair) {
        const int first = of.a[2 * pair], second = of.a[2 * pair + 1];
        return first * first + second * second;
    };
    for (int64_t half = 0; half < 2; ++half) {
        while (true) {
            int sum = 0;
            int64_t largest = half;
            for (int64_t pair = half; pair < group / 2; pair += 2) {
                sum += squares_of(pair);
                if (squares_of(pair) > squares_of(largest)) largest = pair;
            }
            if (sum <= most_squares) break;
            move(largest, of.a[2 * largest], of.a[2 * largest + 1]);
        }
    }
}

// Of the sums of pairs, of two groups: those of each half of a group, one beside the other.
AVX2 inline __m256i sums_of_halves(__m256i pairs) {
    pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    return _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0xb1));
}

// Of a group, the squares of each of its halves, over and over.
AVX2 inline __m256i squares_of_halves(__m128i a) {
    const __m256i words = _mm256_cvtepi8_epi16(a);
    __m256i squares = _mm256_madd_epi16(words, words);
    squares = _mm256_add_epi32(squares, _mm256_shuffle_epi32(squares, 0x4e));
    return _mm256_add_epi32(squares, _mm256_permute2x128_si256(squares, squares, 1));
}

// Two groups of a row.
AVX2 void prepare_groups(
    const int8_t* a, int64_t most_squares, int32_t row, int32_t position, Group* to, int64_t next, TileOfA& tile
) {
    const __m256i one = _mm256_set1_epi8(1);
    const __m256i zero = _mm256_setzero_si256();
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
    const __m256i positive = _mm256_maddubs_epi16(_mm256_max_epi8(x, zero), one);
    const __m256i magnitude = _mm256_maddubs_epi16(_mm256_abs_epi8(x), one);
    const __m256i negative = _mm256_sub_epi16(magnitude, positive);
    const __m256i larger = _mm256_max_epi16(positive, negative);
    const __m256i shift = _mm256_slli_epi16(
        _mm256_sub_epi16(zero, sums_of_halves(_mm256_sub_epi16(positive, negative))), 7
    );
    const __m128i first_group = _mm256_castsi256_si128(x);
    const __m128i second_group = _mm256_extracti128_si256(x, 1);
    const __m256i squares = _mm256_max_epi32(squares_of_halves(first_group), squares_of_halves(second_group));
    const __m256i too_much = _mm256_or_si256(
        _mm256_cmpgt_epi16(larger, _mm256_set1_epi16(most_of_pair)),
        _mm256_cmpgt_epi32(squares, _mm256_set1_epi32(static_cast<int32_t>(most_squares)))
    );
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to->a), first_group);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to[next].a), second_group);
    const int first = _mm256_extract_epi32(shift, 0);
    const int second = _mm256_extract_epi32(shift, 4);
    std::memcpy(to->shift, &first, sizeof first);
    std::memcpy(to[next].shift, &second, sizeof second);
    if (_mm256_testz_si256(too_much, too_much)) return;
    for (Group* of : {to, to + next}) {
        relieve(*of, most_squares, row, position, tile.rests);
        of->shift[0] = of->shift[1] = 0;
        take_shift_back(of->a, group, of->shift);
        position += group;
    }
}

// As CTranslate2 does it: by the largest of the row, rounded to the nearest. Returns the scale.
AVX2 float quantize_row(int64_t k, const float* x, int8_t* a) {
    const __m256 sign = of(-0.0f);
    __m256 largest[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int64_t p = 0;
    for (; p + 16 <= k; p += 16) {
        UNROLL for (int e = 0; e < 2; ++e)
            largest[e] = _mm256_max_ps(largest[e], _mm256_andnot_ps(sign, _mm256_loadu_ps(x + p + 8 * e)));
    }
    float eight[8];
    _mm256_storeu_ps(eight, _mm256_max_ps(largest[0], largest[1]));
    float most = *std::max_element(eight, eight + 8);
    for (; p < k; ++p) most = std::max(most, std::abs(x[p]));
    const float scale = most == 0 ? 1 : 127 / most;

    const __m256 factor = of(scale);
    for (p = 0; p + 16 <= k; p += 16) {
        const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + p), factor));
        const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + p + 8), factor));
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(a + p), bytes);
    }
    for (; p < k; ++p) a[p] = static_cast<int8_t>(std::nearbyint(x[p] * scale));
    return scale;
}

// Of rows that `row_of` writes where it is told, up to k elements.
template <typename RowOf>
void prepare_rows(TileOfA& tile, int64_t most_squares, int64_t rows, int64_t k, RowOf row_of) {
    const int64_t depth = filled(k);
    tile.rows = rows;
    tile.groups.resize(static_cast<size_t>(rows * depth / group));
    tile.rests.clear();
    thread_local std::vector<int8_t> row;
    row.assign(static_cast<size_t>(depth), 0);
    for (int64_t i = 0; i < rows; ++i) {
        row_of(i, row.data());
        for (int64_t p = 0; p < depth; p += 2 * group)
            prepare_groups(
                row.data() + p, most_squares, static_cast<int32_t>(i), static_cast<int32_t>(p),
                tile.groups.data() + p / group * rows + i, rows, tile
            );
    }
}

}  // namespace

void prepare(TileOfA& tile, int64_t most_squares, int64_t rows, int64_t k, const uint8_t* a, int64_t lda) {
    prepare_rows(tile, most_squares, rows, k, [=](int64_t i, int8_t* to) {
        const uint8_t* row = a + i * lda;
        for (int64_t p = 0; p < k; ++p) to[p] = static_cast<int8_t>(row[p] ^ 128);
    });
}

void prepare(TileOfA& tile, int64_t most_squares, int64_t rows, int64_t k, const float* x, float* scales) {
    prepare_rows(tile, most_squares, rows, k, [=](int64_t i, int8_t* to) {
        scales[i] = quantize_row(k, x + i * k, to);
    });
}

}  // namespace halkspeech
