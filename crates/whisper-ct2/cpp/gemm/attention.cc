#include "attention.h"
#include "avx2.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace halkspeech {

namespace {

// Rows of B that are prefetched.
constexpr int64_t prefetched_rows = 16;

AVX2 inline __m256 load(const float* x) { return _mm256_loadu_ps(x); }
AVX2 inline __m256 load(const Half* x) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))); }

// C [Rows, 16] = A [Rows, depth] * B [depth, 16]; rows of A and C are lda and ldc apart, B is a panel.
template <typename Number, int Rows>
AVX2 void tile(int64_t depth, const float* a, int64_t lda, const Number* b, float* c, int64_t ldc) {
    __m256 sums[Rows][2];
    UNROLL for (int i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    for (int64_t p = 0; p < depth; ++p, b += tile_columns) {
        // A prefetch past the end is harmless.
        _mm_prefetch(reinterpret_cast<const char*>(b + prefetched_rows * tile_columns), _MM_HINT_T0);
        const __m256 left = load(b);
        const __m256 right = load(b + 8);
        UNROLL for (int i = 0; i < Rows; ++i) {
            const __m256 x = _mm256_broadcast_ss(a + i * lda + p);
            sums[i][0] = _mm256_fmadd_ps(x, left, sums[i][0]);
            sums[i][1] = _mm256_fmadd_ps(x, right, sums[i][1]);
        }
    }
    UNROLL for (int i = 0; i < Rows; ++i) {
        _mm256_storeu_ps(c + i * ldc, sums[i][0]);
        _mm256_storeu_ps(c + i * ldc + 8, sums[i][1]);
    }
}

constexpr int64_t tile_rows = 6;
template <typename Number>
constexpr decltype(&tile<Number, 1>) tiles[tile_rows] = {
    tile<Number, 1>, tile<Number, 2>, tile<Number, 3>, tile<Number, 4>, tile<Number, 5>, tile<Number, 6>,
};

template <typename Number>
auto tile_of(int64_t rows) { return tiles<Number>[std::min(tile_rows, rows) - 1]; }

// Queries whose scores stay in the cache from the first product to the second.
constexpr int64_t queries_at_once = 24;

constexpr int64_t padded_columns(int64_t columns) { return (columns + tile_columns - 1) / tile_columns * tile_columns; }

// exp(x) for x <= 0, as 2^n * 2^f with the series of 2^f, f in [-0.5, 0.5]; the relative error is at most 4e-6.
AVX2 inline __m256 exp_of_negative(__m256 x) {
    x = _mm256_max_ps(_mm256_mul_ps(x, broadcast(1.44269504f)), broadcast(-126));
    const __m256 whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_sub_ps(x, whole);
    __m256 series = broadcast(1.5403530e-4f);
    series = _mm256_fmadd_ps(series, f, broadcast(1.3333558e-3f));
    series = _mm256_fmadd_ps(series, f, broadcast(9.6181291e-3f));
    series = _mm256_fmadd_ps(series, f, broadcast(5.5504109e-2f));
    series = _mm256_fmadd_ps(series, f, broadcast(2.4022651e-1f));
    series = _mm256_fmadd_ps(series, f, broadcast(6.9314718e-1f));
    series = _mm256_fmadd_ps(series, f, broadcast(1));
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(series), exponent));
}

// exp(scale * (x - max)) of n floats, in place; overwrites the rest of their last panel. Returns the sum.
AVX2 float exponentials(int64_t n, float scale, float* x) {
    const int64_t end = padded_columns(n);
    std::fill(x + n, x + end, -std::numeric_limits<float>::infinity());
    __m256 largest[2] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
    for (int64_t j = tile_columns; j < end; j += tile_columns) {
        UNROLL for (int e = 0; e < 2; ++e) largest[e] = _mm256_max_ps(largest[e], _mm256_loadu_ps(x + j + 8 * e));
    }
    float eight[8];
    _mm256_storeu_ps(eight, _mm256_max_ps(largest[0], largest[1]));
    const __m256 max = _mm256_set1_ps(*std::max_element(eight, eight + 8));
    const __m256 factor = _mm256_set1_ps(scale);
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t j = 0; j < end; j += tile_columns) {
        UNROLL for (int e = 0; e < 2; ++e) {
            float* at = x + j + 8 * e;
            const __m256 y = exp_of_negative(_mm256_mul_ps(factor, _mm256_sub_ps(_mm256_loadu_ps(at), max)));
            sums[e] = _mm256_add_ps(sums[e], y);
            _mm256_storeu_ps(at, y);
        }
    }
    _mm256_storeu_ps(eight, _mm256_add_ps(sums[0], sums[1]));
    return std::accumulate(eight, eight + 8, 0.0f);
}

AVX2 void scale_row(int64_t n, float factor, float* x) {
    for (int64_t j = 0; j < n; j += 8)
        _mm256_storeu_ps(x + j, _mm256_mul_ps(_mm256_loadu_ps(x + j), _mm256_set1_ps(factor)));
}

AVX2 void pack_row(int64_t n, const float* x, float* packed) { std::copy_n(x, n, packed); }
AVX2 void pack_row(int64_t n, const float* x, Half* packed) {
    for (int64_t i = 0; i < n; i += 8) {
        const __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i), eight);
    }
}

// Transposes K into panels of columns.
template <typename Number>
void pack_keys(int64_t n, int64_t width, const float* keys, int64_t ld, Number* panels) {
    for (int64_t first = 0; first < n; first += tile_columns) {
        for (int64_t p = 0; p < width; ++p, panels += tile_columns) {
            float column[tile_columns];
            for (int64_t j = 0; j < tile_columns; ++j) column[j] = first + j < n ? keys[(first + j) * ld + p] : 0;
            pack_row(tile_columns, column, panels);
        }
    }
}

template <typename Number>
void pack_values(int64_t n, int64_t width, const float* values, int64_t ld, Number* panels) {
    for (int64_t j = 0; j < width; j += tile_columns) {
        for (int64_t i = 0; i < n; ++i, panels += tile_columns) pack_row(tile_columns, values + i * ld + j, panels);
    }
}

// Number of elements of the packed keys and values of one head.
constexpr int64_t packed_size(int64_t n, int64_t width) { return (padded_columns(n) + n) * width; }

template <typename Number>
void pack(int64_t n, int64_t width, const float* keys, const float* values, int64_t ld, Number* packed) {
    pack_keys(n, width, keys, ld, packed);
    pack_values(n, width, values, ld, packed + padded_columns(n) * width);
}

// softmax(scale * Q * K^T) * V of one head and m queries; rows of Q and of the output are ld and ld_output apart.
// `scores` has `queries_at_once` rows of whole panels.
template <typename Number>
void attend(
    int64_t m, int64_t n, int64_t width, float scale, const float* queries, int64_t ld, const Number* packed,
    float* output, int64_t ld_output, float* scores
) {
    const int64_t columns = padded_columns(n);
    const Number* values = packed + columns * width;
    for (int64_t first = 0; first < m; first += queries_at_once) {
        const int64_t rows = std::min(queries_at_once, m - first);
        for (int64_t j = 0; j < columns; j += tile_columns) {
            for (int64_t i = 0; i < rows; i += tile_rows)
                tile_of<Number>(rows - i)(
                    width, queries + (first + i) * ld, ld, packed + j * width, scores + i * columns + j, columns
                );
        }
        float sums[queries_at_once];
        for (int64_t i = 0; i < rows; ++i) sums[i] = exponentials(n, scale, scores + i * columns);
        float* out = output + first * ld_output;
        for (int64_t j = 0; j < width; j += tile_columns) {
            for (int64_t i = 0; i < rows; i += tile_rows)
                tile_of<Number>(rows - i)(
                    n, scores + i * columns, columns, values + j * n, out + i * ld_output + j, ld_output
                );
        }
        for (int64_t i = 0; i < rows; ++i) scale_row(width, 1 / sums[i], out + i * ld_output);
    }
}

AVX2 inline __m256 sums_of_eight(const __m256* s) {
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

}  // namespace

int64_t SelfAttention::workspace_size() const { return packed_size(n, width) + padded_columns(n) * queries_at_once; }

void self_attention(
    int64_t batch, int64_t heads, const SelfAttention& shape, const float* projected, float* output, float* workspace
) {
    const auto& [n, width, ld, ld_output, scale] = shape;
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t index = 0; index < batch * heads; ++index) {
        const int64_t row = index / heads * n;
        const int64_t column = index % heads * width;
        const float* queries = projected + row * ld + column;
        float* packed = workspace + omp_get_thread_num() * shape.workspace_size();
        pack(n, width, queries + ld / 3, queries + ld / 3 * 2, ld, packed);
        attend(
            n, n, width, scale, queries, ld, packed, output + row * ld_output + column, ld_output,
            packed + packed_size(n, width)
        );
    }
}

int64_t CrossAttention::packed_size(int64_t n) const { return heads * halkspeech::packed_size(n, width); }

int64_t CrossAttention::workspace_size(int64_t n) const { return padded_columns(n) * queries_at_once; }

void CrossAttention::pack(int64_t n, const float* projected, Half* packed) const {
    const int64_t ld = 2 * heads * width;
    for (int64_t head = 0; head < heads; ++head) {
        const float* keys = projected + head * width;
        halkspeech::pack(n, width, keys, keys + ld / 2, ld, packed + head * halkspeech::packed_size(n, width));
    }
}

void CrossAttention::attend(
    int64_t head, int64_t m, int64_t n, const float* queries, const Half* packed, float* output, float* workspace
) const {
    const int64_t ld = heads * width, column = head * width;
    halkspeech::attend(
        m, n, width, scale, queries + column, ld, packed + head * halkspeech::packed_size(n, width), output + column,
        ld, workspace
    );
}

AVX2 void attend_to_rows(
    int64_t n, int64_t heads, int64_t width, float scale, const float* query, const float* const* keys,
    int64_t values, float* output, float* workspace
) {
    for (int64_t column = 0; column < heads * width; column += width) {
        for (int64_t j = 0; j < n; j += 8) {
            __m256 sums[8];
            UNROLL for (int e = 0; e < 8; ++e) sums[e] = _mm256_setzero_ps();
            for (int64_t p = column; p < column + width; p += 8) {
                const __m256 x = _mm256_loadu_ps(query + p);
                UNROLL for (int e = 0; e < 8; ++e)
                    sums[e] = _mm256_fmadd_ps(x, _mm256_loadu_ps(keys[std::min(j + e, n - 1)] + p), sums[e]);
            }
            _mm256_storeu_ps(workspace + j, sums_of_eight(sums));
        }
        const __m256 normalization = broadcast(1 / exponentials(n, scale, workspace));
        for (int64_t p = column; p < column + width; p += 2 * 8) {
            __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
            for (int64_t j = 0; j < n; ++j) {
                const __m256 weight = broadcast(workspace[j]);
                UNROLL for (int e = 0; e < 2; ++e)
                    sums[e] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(keys[j] + values + p + 8 * e), sums[e]);
            }
            UNROLL for (int e = 0; e < 2; ++e)
                _mm256_storeu_ps(output + p + 8 * e, _mm256_mul_ps(sums[e], normalization));
        }
    }
}

}  // namespace halkspeech
