#if defined(__x86_64__)

#include "int8_activations.h"
#include "avx2.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace halkspeech {

namespace {

// Maximum sum of the elements of one sign in a pair.
constexpr int max_pair_sum = 128;

void compensate_shift(const int8_t* a, int64_t n, int16_t* shift) {
    for (int64_t p = 0; p < n; ++p) shift[p / 2 % 2] = static_cast<int16_t>(shift[p / 2 % 2] - 128 * a[p]);
}

// Moves parts of the group to `residuals`, so that its sums do not overflow.
void split_outliers(
    Group& group, int64_t max_squares, int32_t row, int32_t position, std::vector<OutlierResidual>& residuals
) {
    const auto move = [&](int64_t pair, int first, int second) {
        int8_t* a = group.a + 2 * pair;
        a[0] = static_cast<int8_t>(a[0] - first);
        a[1] = static_cast<int8_t>(a[1] - second);
        OutlierResidual residual = {row, position + static_cast<int32_t>(2 * pair / quad_size * quad_size), {}, {}};
        int8_t* to = residual.a + 2 * pair % quad_size;
        to[0] = static_cast<int8_t>(first);
        to[1] = static_cast<int8_t>(second);
        compensate_shift(residual.a, quad_size, residual.shift);
        residuals.push_back(residual);
    };
    const auto sum_of = [&](int64_t pair) { return group.a[2 * pair] + group.a[2 * pair + 1]; };
    for (int64_t pair = 0; pair < group_size / 2; ++pair) {
        const int sum = sum_of(pair);
        if (std::abs(sum) > max_pair_sum) move(pair, sum > 0 ? sum - max_pair_sum : sum + max_pair_sum, 0);
    }
    const auto squares_of = [&](int64_t pair) {
        const int first = group.a[2 * pair], second = group.a[2 * pair + 1];
        return first * first + second * second;
    };
    for (int64_t half = 0; half < 2; ++half) {
        while (true) {
            int sum = 0;
            int64_t largest = half;
            for (int64_t pair = half; pair < group_size / 2; pair += 2) {
                sum += squares_of(pair);
                if (squares_of(pair) > squares_of(largest)) largest = pair;
            }
            if (sum <= max_squares) break;
            move(largest, group.a[2 * largest], group.a[2 * largest + 1]);
        }
    }
}

// From the sums of pairs of two groups, the sums of each half of a group, in adjacent elements.
AVX2 inline __m256i sums_of_halves(__m256i pairs) {
    pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    return _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0xb1));
}

// The sum of squares of each half of a group, repeated in all elements.
AVX2 inline __m256i squares_of_halves(__m128i a) {
    const __m256i words = _mm256_cvtepi8_epi16(a);
    __m256i squares = _mm256_madd_epi16(words, words);
    squares = _mm256_add_epi32(squares, _mm256_shuffle_epi32(squares, 0x4e));
    return _mm256_add_epi32(squares, _mm256_permute2x128_si256(squares, squares, 1));
}

// Prepares two groups of a row.
AVX2 void prepare_groups(
    const int8_t* a, int64_t max_squares, int32_t row, int32_t position, Group* to, int64_t next, ActivationTile& tile
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
    const __m256i exceeds = _mm256_or_si256(
        _mm256_cmpgt_epi16(larger, _mm256_set1_epi16(max_pair_sum)),
        _mm256_cmpgt_epi32(squares, _mm256_set1_epi32(static_cast<int32_t>(max_squares)))
    );
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to->a), first_group);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to[next].a), second_group);
    const int first = _mm256_extract_epi32(shift, 0);
    const int second = _mm256_extract_epi32(shift, 4);
    std::memcpy(to->shift, &first, sizeof first);
    std::memcpy(to[next].shift, &second, sizeof second);
    if (_mm256_testz_si256(exceeds, exceeds)) return;
    for (Group* group : {to, to + next}) {
        split_outliers(*group, max_squares, row, position, tile.residuals);
        group->shift[0] = group->shift[1] = 0;
        compensate_shift(group->a, group_size, group->shift);
        position += group_size;
    }
}

// Quantizes as CTranslate2 does: scaled by the largest magnitude of the row, rounded to nearest. Returns the scale.
AVX2 float quantize_row(int64_t k, const float* x, bool round, int8_t* a) {
    const __m256 sign = broadcast(-0.0f);
    __m256 largest[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    int64_t p = 0;
    for (; p + 16 <= k; p += 16) {
        UNROLL for (int e = 0; e < 2; ++e)
            largest[e] = _mm256_max_ps(largest[e], _mm256_andnot_ps(sign, _mm256_loadu_ps(x + p + 8 * e)));
    }
    float eight[8];
    _mm256_storeu_ps(eight, _mm256_max_ps(largest[0], largest[1]));
    float max_magnitude = *std::max_element(eight, eight + 8);
    for (; p < k; ++p) max_magnitude = std::max(max_magnitude, std::abs(x[p]));
    const float scale = max_magnitude == 0 ? 1 : 127 / max_magnitude;

    const __m256 factor = broadcast(scale);
    for (p = 0; p + 16 <= k; p += 16) {
        const __m256 left = _mm256_mul_ps(_mm256_loadu_ps(x + p), factor);
        const __m256 right = _mm256_mul_ps(_mm256_loadu_ps(x + p + 8), factor);
        const __m256i low = round ? _mm256_cvtps_epi32(left) : _mm256_cvttps_epi32(left);
        const __m256i high = round ? _mm256_cvtps_epi32(right) : _mm256_cvttps_epi32(right);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(a + p), bytes);
    }
    for (; p < k; ++p) a[p] = static_cast<int8_t>(round ? std::nearbyint(x[p] * scale) : x[p] * scale);
    return scale;
}

// Prepares rows of up to k elements, which `write_row` writes to a buffer.
template <typename WriteRow>
void prepare_rows(ActivationTile& tile, int64_t max_squares, int64_t rows, int64_t k, WriteRow write_row) {
    const int64_t depth = padded_depth(k);
    tile.rows = rows;
    tile.groups.resize(static_cast<size_t>(rows * depth / group_size));
    tile.residuals.clear();
    thread_local std::vector<int8_t> row;
    row.assign(static_cast<size_t>(depth), 0);
    for (int64_t i = 0; i < rows; ++i) {
        write_row(i, row.data());
        for (int64_t p = 0; p < depth; p += 2 * group_size)
            prepare_groups(
                row.data() + p, max_squares, static_cast<int32_t>(i), static_cast<int32_t>(p),
                tile.groups.data() + p / group_size * rows + i, rows, tile
            );
    }
}

}  // namespace

void prepare(ActivationTile& tile, int64_t max_squares, const FloatRows& from, float* scales) {
    prepare_rows(tile, max_squares, from.rows, from.k, [&](int64_t i, int8_t* to) {
        scales[i] = quantize_row(from.k, from.x + i * from.ld, from.round, to);
    });
}

}  // namespace halkspeech

#endif
