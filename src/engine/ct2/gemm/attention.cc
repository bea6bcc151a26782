#include "attention.h"
#include "avx2.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace halkspeech {

namespace {

// Rows of A up to which B is read in place: beams, or the tokens of a prompt.
constexpr int64_t few_rows = 16;
// Rows of B [k, n] that stay in the nearest cache while all their columns are used, and the next are fetched.
constexpr int64_t rows_at_once = 16;

AVX2 inline __m256 sums_of_eight(const __m256* s) {
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

// B is transposed, [n, k], k a multiple of 8: every result is a product of two rows.
AVX2 void products_of_rows(
    int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b, float* c
) {
    const __m256 factor = _mm256_set1_ps(alpha);
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {
        // The next eight; past the end it does no harm.
        for (int64_t p = 8 * k; p < 16 * k; p += 16)
            _mm_prefetch(reinterpret_cast<const char*>(b + j * k + p), _MM_HINT_T0);
        for (int64_t i = 0; i < m; ++i) {
            __m256 sums[8];
            UNROLL for (int e = 0; e < 8; ++e) sums[e] = _mm256_setzero_ps();
            for (int64_t p = 0; p < k; p += 8) {
                const __m256 x = _mm256_loadu_ps(a + i * k + p);
                UNROLL for (int e = 0; e < 8; ++e)
                    sums[e] = _mm256_fmadd_ps(x, _mm256_loadu_ps(b + (j + e) * k + p), sums[e]);
            }
            _mm256_storeu_ps(c + i * n + j, _mm256_mul_ps(sums_of_eight(sums), factor));
        }
    }
    for (; j < n; ++j) {
        for (int64_t i = 0; i < m; ++i) {
            __m256 sums[8] = {};
            for (int64_t p = 0; p < k; p += 8)
                sums[0] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i * k + p), _mm256_loadu_ps(b + j * k + p), sums[0]);
            c[i * n + j] = alpha * _mm256_cvtss_f32(sums_of_eight(sums));
        }
    }
}

// C [Rows, 16] (+)= alpha * A [Rows, depth] * B [depth, 16]; rows of A, B and C are lda, ldb and ldc apart.
template <int Rows>
AVX2 void tile(
    int64_t depth, float alpha, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
    bool adds
) {
    __m256 sums[Rows][2];
    UNROLL for (int i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    for (int64_t p = 0; p < depth; ++p) {
        // Past the end it does no harm.
        _mm_prefetch(reinterpret_cast<const char*>(b + (p + rows_at_once) * ldb), _MM_HINT_T0);
        const __m256 left = _mm256_loadu_ps(b + p * ldb);
        const __m256 right = _mm256_loadu_ps(b + p * ldb + 8);
        UNROLL for (int i = 0; i < Rows; ++i) {
            const __m256 x = _mm256_broadcast_ss(a + i * lda + p);
            sums[i][0] = _mm256_fmadd_ps(x, left, sums[i][0]);
            sums[i][1] = _mm256_fmadd_ps(x, right, sums[i][1]);
        }
    }
    const __m256 factor = _mm256_set1_ps(alpha);
    UNROLL for (int i = 0; i < Rows; ++i) {
        float* out = c + i * ldc;
        const __m256 zero = _mm256_setzero_ps();
        const __m256 left = adds ? _mm256_loadu_ps(out) : zero;
        const __m256 right = adds ? _mm256_loadu_ps(out + 8) : zero;
        _mm256_storeu_ps(out, _mm256_fmadd_ps(sums[i][0], factor, left));
        _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(sums[i][1], factor, right));
    }
}

constexpr int64_t tile_rows = 6;
using Tile = decltype(&tile<1>);
constexpr Tile tiles[tile_rows] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

Tile tile_of(int64_t rows) { return tiles[std::min(tile_rows, rows) - 1]; }

// B is [k, n], n a multiple of `tile_columns`.
AVX2 void products_of_columns(
    int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b, float* c
) {
    for (int64_t p = 0; p < k; p += rows_at_once) {
        const int64_t depth = std::min(rows_at_once, k - p);
        for (int64_t j = 0; j < n; j += tile_columns) {
            for (int64_t i = 0; i < m; i += tile_rows)
                tile_of(m - i)(depth, alpha, a + i * k + p, k, b + p * n + j, n, c + i * n + j, n, p > 0);
        }
    }
}

// ---- The encoder's -------------------------------------------------------------------------------------------------

// Queries whose scores stay in the cache from the first product to the second.
constexpr int64_t queries_at_once = 24;

constexpr int64_t in_whole_panels(int64_t columns) { return (columns + tile_columns - 1) / tile_columns * tile_columns; }

// exp(x) of x <= 0, by 2^n * 2^f and the series of 2^f, f in [-0.5, 0.5]; off by 4e-6 of it at most.
AVX2 inline __m256 exp_of_negative(__m256 x) {
    x = _mm256_max_ps(_mm256_mul_ps(x, of(1.44269504f)), of(-126));
    const __m256 whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_sub_ps(x, whole);
    __m256 series = of(1.5403530e-4f);
    series = _mm256_fmadd_ps(series, f, of(1.3333558e-3f));
    series = _mm256_fmadd_ps(series, f, of(9.6181291e-3f));
    series = _mm256_fmadd_ps(series, f, of(5.5504109e-2f));
    series = _mm256_fmadd_ps(series, f, of(2.4022651e-1f));
    series = _mm256_fmadd_ps(series, f, of(6.9314718e-1f));
    series = _mm256_fmadd_ps(series, f, of(1));
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(series), exponent));
}

// exp(scale * (x - the largest)) of n floats, in place; what is behind them in their last panel is lost. Returns the
// sum.
AVX2 float exponentials(int64_t n, float scale, float* x) {
    const int64_t end = in_whole_panels(n);
    std::fill(x + n, x + end, -std::numeric_limits<float>::infinity());
    __m256 largest[2] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
    for (int64_t j = tile_columns; j < end; j += tile_columns) {
        UNROLL for (int e = 0; e < 2; ++e) largest[e] = _mm256_max_ps(largest[e], _mm256_loadu_ps(x + j + 8 * e));
    }
    float eight[8];
    _mm256_storeu_ps(eight, _mm256_max_ps(largest[0], largest[1]));
    const __m256 most = _mm256_set1_ps(*std::max_element(eight, eight + 8));
    const __m256 factor = _mm256_set1_ps(scale);
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t j = 0; j < end; j += tile_columns) {
        UNROLL for (int e = 0; e < 2; ++e) {
            float* at = x + j + 8 * e;
            const __m256 y = exp_of_negative(_mm256_mul_ps(factor, _mm256_sub_ps(_mm256_loadu_ps(at), most)));
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

// Rows of K become columns, in panels.
void pack_keys(int64_t n, int64_t width, const float* keys, int64_t ld, float* panels) {
    for (int64_t first = 0; first < n; first += tile_columns) {
        for (int64_t p = 0; p < width; ++p) {
            for (int64_t j = first; j < first + tile_columns; ++j) *panels++ = j < n ? keys[j * ld + p] : 0;
        }
    }
}

void pack_values(int64_t n, int64_t width, const float* values, int64_t ld, float* panels) {
    for (int64_t j = 0; j < width; j += tile_columns) {
        for (int64_t i = 0; i < n; ++i, panels += tile_columns)
            std::copy_n(values + i * ld + j, tile_columns, panels);
    }
}

// One head. `memory` has room for what `SelfAttention::memory` says.
void attend(const SelfAttention& shape, const float* queries, float* output, float* memory) {
    const auto& [n, width, ld, ld_output, scale] = shape;
    const float* keys = queries + ld / 3;
    const float* values = keys + ld / 3;
    const int64_t columns = in_whole_panels(n);
    float* packed_keys = memory;
    float* packed_values = packed_keys + columns * width;
    float* scores = packed_values + n * width;
    pack_keys(n, width, keys, ld, packed_keys);
    pack_values(n, width, values, ld, packed_values);
    for (int64_t first = 0; first < n; first += queries_at_once) {
        const int64_t rows = std::min(queries_at_once, n - first);
        for (int64_t j = 0; j < columns; j += tile_columns) {
            for (int64_t i = 0; i < rows; i += tile_rows)
                tile_of(rows - i)(
                    width, 1, queries + (first + i) * ld, ld, packed_keys + j * width, tile_columns,
                    scores + i * columns + j, columns, false
                );
        }
        float sums[queries_at_once];
        for (int64_t i = 0; i < rows; ++i) sums[i] = exponentials(n, scale, scores + i * columns);
        float* out = output + first * ld_output;
        for (int64_t j = 0; j < width; j += tile_columns) {
            for (int64_t i = 0; i < rows; i += tile_rows)
                tile_of(rows - i)(
                    n, 1, scores + i * columns, columns, packed_values + j * n, tile_columns,
                    out + i * ld_output + j, ld_output, false
                );
        }
        for (int64_t i = 0; i < rows; ++i) scale_row(width, 1 / sums[i], out + i * ld_output);
    }
}

}  // namespace

Products* products_in_place(bool transpose_b, int64_t m, int64_t n, int64_t k) {
    if (m > few_rows) return nullptr;
    if (transpose_b) return k % 8 == 0 ? products_of_rows : nullptr;
    return n % tile_columns == 0 ? products_of_columns : nullptr;
}

int64_t SelfAttention::memory() const {
    return in_whole_panels(n) * (width + queries_at_once) + n * width;
}

void self_attention(
    int64_t batch, int64_t heads, const SelfAttention& shape, const float* projected, float* output, float* memory
) {
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t one = 0; one < batch * heads; ++one) {
        const int64_t row = one / heads * shape.n;
        const int64_t column = one % heads * shape.width;
        attend(
            shape, projected + row * shape.ld + column, output + row * shape.ld_output + column,
            memory + omp_get_thread_num() * shape.memory()
        );
    }
}

}  // namespace halkspeech
