#include "attention.h"
#include "avx2.h"

#include <immintrin.h>

#include <algorithm>

namespace halkspeech {

namespace {

// Rows of A up to which B is read in place: beams, or the tokens of a prompt.
constexpr int64_t few_rows = 16;
// Rows of B [k, n] that stay in the nearest cache while all their columns are used, and the next are fetched.
constexpr int64_t rows_at_once = 32;

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

// C [Rows, 16] (+)= alpha * A [Rows, depth] * B [depth, 16]; rows of A, B and C are lda, ld and ld apart.
template <int Rows>
AVX2 void tile(
    int64_t depth, float alpha, const float* a, int64_t lda, const float* b, float* c, int64_t ld, bool adds
) {
    __m256 sums[Rows][2];
    UNROLL for (int i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    for (int64_t p = 0; p < depth; ++p) {
        // Past the end it does no harm.
        _mm_prefetch(reinterpret_cast<const char*>(b + (p + rows_at_once) * ld), _MM_HINT_T0);
        const __m256 left = _mm256_loadu_ps(b + p * ld);
        const __m256 right = _mm256_loadu_ps(b + p * ld + 8);
        UNROLL for (int i = 0; i < Rows; ++i) {
            const __m256 x = _mm256_broadcast_ss(a + i * lda + p);
            sums[i][0] = _mm256_fmadd_ps(x, left, sums[i][0]);
            sums[i][1] = _mm256_fmadd_ps(x, right, sums[i][1]);
        }
    }
    const __m256 factor = _mm256_set1_ps(alpha);
    UNROLL for (int i = 0; i < Rows; ++i) {
        float* out = c + i * ld;
        const __m256 zero = _mm256_setzero_ps();
        const __m256 left = adds ? _mm256_loadu_ps(out) : zero;
        const __m256 right = adds ? _mm256_loadu_ps(out + 8) : zero;
        _mm256_storeu_ps(out, _mm256_fmadd_ps(sums[i][0], factor, left));
        _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(sums[i][1], factor, right));
    }
}

// B is [k, n], n a multiple of 16.
AVX2 void products_of_columns(
    int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b, float* c
) {
    using Tile = decltype(&tile<1>);
    static constexpr Tile tiles[] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
    for (int64_t p = 0; p < k; p += rows_at_once) {
        const int64_t depth = std::min(rows_at_once, k - p);
        for (int64_t j = 0; j < n; j += 16) {
            for (int64_t i = 0; i < m; i += 6)
                tiles[std::min<int64_t>(6, m - i) - 1](
                    depth, alpha, a + i * k + p, k, b + p * n + j, c + i * n + j, n, p > 0
                );
        }
    }
}

}  // namespace

Products* products_in_place(bool transpose_b, int64_t m, int64_t n, int64_t k) {
    if (m > few_rows) return nullptr;
    if (transpose_b) return k % 8 == 0 ? products_of_rows : nullptr;
    return n % 16 == 0 ? products_of_columns : nullptr;
}

}  // namespace halkspeech
