// Weights lie in panels of 16 columns. In a panel four elements of a column follow each other, as the instructions
// multiply them, then the four of the next column; so a panel is read from its beginning to its end.
// Sums of two products saturate at 16 bits, as they do in oneDNN's kernels for AVX2.

#include "avx2.h"
#include "int8.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cstring>

namespace halkspeech {

namespace {

constexpr int64_t panel_columns = 16;
// Elements of a column that one instruction multiplies.
constexpr int64_t deep = 4;
// Rows of A that are multiplied at once: as many as sums fit into registers, and the beams of most requests.
constexpr int64_t rows_at_once = 5;
// Panels that all rows are multiplied by before the next ones.
constexpr int64_t panels_at_once = 2;

constexpr int64_t panels_of(int64_t n) { return (n + panel_columns - 1) / panel_columns; }
constexpr int64_t panel_bytes(int64_t k) { return (k + deep - 1) / deep * deep * panel_columns; }

// Sums of one row: of the first eight columns, and of the others.
struct Sums {
    __m256i left, right;
};

AVX2 inline __m256i add_products(__m256i sums, __m256i a, __m256i b) {
    const __m256i pairs = _mm256_maddubs_epi16(a, b);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

AVX2 inline void step(Sums& sums, const uint8_t* a, int64_t elements, const int8_t* b) {
    int32_t four = 0;
    std::memcpy(&four, a, static_cast<size_t>(elements));
    const __m256i row = _mm256_set1_epi32(four);
    sums.left = add_products(sums.left, row, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
    sums.right = add_products(sums.right, row, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32)));
}

// C [Rows, 16] = A [Rows, k] * a panel + offsets.
template <int Rows>
AVX2 void tile(
    int64_t k, const uint8_t* a, int64_t lda, const int8_t* panel, const int32_t* offsets, int32_t* c, int64_t ldc
) {
    Sums sums[Rows];
    UNROLL for (int i = 0; i < Rows; ++i) {
        sums[i].left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets));
        sums[i].right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(offsets + 8));
    }
    const int64_t whole = k / deep * deep;
    const int64_t next_panel = panel_bytes(k);
    for (int64_t p = 0; p < whole; p += deep) {
        const int8_t* b = panel + p * panel_columns;
        // Past the end it does no harm.
        _mm_prefetch(reinterpret_cast<const char*>(b + next_panel), _MM_HINT_T1);
        UNROLL for (int i = 0; i < Rows; ++i) step(sums[i], a + i * lda + p, deep, b);
    }
    if (whole < k) {
        UNROLL for (int i = 0; i < Rows; ++i)
            step(sums[i], a + i * lda + whole, k - whole, panel + whole * panel_columns);
    }
    UNROLL for (int i = 0; i < Rows; ++i) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + i * ldc), sums[i].left);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + i * ldc + 8), sums[i].right);
    }
}

using Tile = decltype(&tile<1>);
constexpr Tile tiles[rows_at_once] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>};

// The same for a panel that has fewer columns.
void narrow_tile(
    int64_t rows, int64_t columns, int64_t k, const uint8_t* a, int64_t lda, const int8_t* panel,
    const int32_t* offsets, int32_t* c, int64_t ldc
) {
    const size_t bytes = static_cast<size_t>(columns) * sizeof(int32_t);
    int32_t wide_offsets[panel_columns] = {};
    int32_t wide[rows_at_once * panel_columns];
    std::memcpy(wide_offsets, offsets, bytes);
    tiles[rows - 1](k, a, lda, panel, wide_offsets, wide, panel_columns);
    for (int64_t i = 0; i < rows; ++i) std::memcpy(c + i * ldc, wide + i * panel_columns, bytes);
}

int64_t pack(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed) {
    const int64_t bytes = panels_of(n) * panel_bytes(k);
    if (packed == nullptr) return bytes;
    const int64_t to_next_column = transposed ? k : 1;
    const int64_t to_next_element = transposed ? 1 : n;
    for (int64_t first = 0; first < n; first += panel_columns) {
        for (int64_t p = 0; p < k; p += deep) {
            for (int64_t j = first; j < first + panel_columns; ++j) {
                for (int64_t q = p; q < p + deep; ++q)
                    *packed++ = j < n && q < k ? b[j * to_next_column + q * to_next_element] : int8_t{0};
            }
        }
    }
    return bytes;
}

void multiply(
    int64_t m, int64_t n, int64_t k, const uint8_t* a, int64_t lda, const int8_t* packed, const int32_t* offsets,
    int32_t* c, int64_t ldc
) {
    const int64_t panels = panels_of(n);
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t first = 0; first < panels; first += panels_at_once) {
        for (int64_t i = 0; i < m; i += rows_at_once) {
            const int64_t rows = std::min(rows_at_once, m - i);
            for (int64_t at = first; at < std::min(first + panels_at_once, panels); ++at) {
                const int8_t* panel = packed + at * panel_bytes(k);
                const int64_t j = at * panel_columns;
                const int64_t columns = std::min(panel_columns, n - j);
                const uint8_t* of_a = a + i * lda;
                int32_t* of_c = c + i * ldc + j;
                if (columns == panel_columns)
                    tiles[rows - 1](k, of_a, lda, panel, offsets + j, of_c, ldc);
                else
                    narrow_tile(rows, columns, k, of_a, lda, panel, offsets + j, of_c, ldc);
            }
        }
    }
}

}  // namespace

const Int8Kernels int8_for_avx2 = {pack, multiply};

}  // namespace halkspeech
