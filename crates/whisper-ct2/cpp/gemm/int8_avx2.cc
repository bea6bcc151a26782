// Exact products of 8-bit integers with AVX2, whose instructions multiply unsigned by signed bytes and add two products
// in 16 bits, saturating.
//
// Weights w are stored as u = w + 128, in panels of 16 columns. A panel has four adjacent elements of a column, as the
// instructions multiply them, then the four of the next column; so a panel is read sequentially. Activations a are
// signed. Four of those sums, over 16 elements of a row and of a column, are added in 16 bits before they are widened,
// together with -128 * (sum of a), which compensates the shift of u. The result is exact if
//   - in every pair of a, neither the positive nor the negative elements add up to more than 128: 128 * 255 < 2^15;
//   - the vector of the eight a of one sum is no longer than 2^15 divided by the length of the longest vector of w that
//     it is multiplied by (Cauchy-Schwarz inequality). Intermediate sums may wrap around.
// Most activations meet these conditions. The excess of the others is split off, and multiplied separately
// (`OutlierResidual`).

#include "avx2.h"
#include "int8.h"
#include "int8_activations.h"

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <vector>

namespace halkspeech {

namespace {

constexpr int64_t panel_columns = 16;
constexpr int64_t max_sum = 32767;
// Rows of A that are multiplied together: their sums fit into the registers, and it is the default number of beams.
constexpr int64_t rows_at_once = 5;
// Maximum number of panels that all rows are multiplied by before the next ones: they stay in the L2 cache.
constexpr int64_t panels_at_once = 4;

constexpr int64_t panels_of(int64_t n) { return ceil_div(n, panel_columns); }
constexpr int64_t panel_bytes(int64_t k) { return padded_depth(k) * panel_columns; }

// Sums of one row: of the first eight columns, and of the last eight.
struct Sums {
    __m256i left, right;
};

// Adds the products of `Count` quads of a row and of eight columns: in 16-bit sums that start at `shift`, then to
// `sums`.
template <int Count>
AVX2 inline __m256i add_products(__m256i sums, const int8_t* a, __m256i shift, const uint8_t* u) {
    UNROLL for (int q = 0; q < Count; ++q) {
        int32_t four;
        std::memcpy(&four, a + q * quad_size, quad_size);
        const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(u + q * quad_size * panel_columns));
        shift = _mm256_add_epi16(shift, _mm256_maddubs_epi16(weights, _mm256_set1_epi32(four)));
    }
    return _mm256_add_epi32(sums, _mm256_madd_epi16(shift, _mm256_set1_epi16(1)));
}

template <int Count>
AVX2 inline void step(Sums& sums, const int8_t* a, const int16_t* shift, const uint8_t* u) {
    int32_t two;
    std::memcpy(&two, shift, sizeof two);
    const __m256i shifts = _mm256_set1_epi32(two);
    sums.left = add_products<Count>(sums.left, a, shifts, u);
    sums.right = add_products<Count>(sums.right, a, shifts, u + 32);
}

// Stores the sums in C.
struct AsIntegers {
    int32_t* c;
    int64_t ldc;

    AsIntegers at(int64_t i, int64_t j) const { return {c + i * ldc + j, ldc}; }

    template <int Rows>
    AVX2 void store(const Sums* sums) const {
        UNROLL for (int i = 0; i < Rows; ++i) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + i * ldc), sums[i].left);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + i * ldc + 8), sums[i].right);
        }
    }

    // Calls `compute` for a panel with fewer columns, with a buffer for all columns.
    template <typename Compute>
    void narrow(int64_t rows, int64_t columns, Compute compute) const {
        int32_t wide[rows_at_once * panel_columns];
        compute(AsIntegers{wide, panel_columns});
        for (int64_t i = 0; i < rows; ++i)
            std::memcpy(c + i * ldc, wide + i * panel_columns, static_cast<size_t>(columns) * sizeof(int32_t));
    }
};

// erf(x) as in Eigen (generic_fast_erf), a rational function; beyond 4 it is 1 in floats.
AVX2 inline __m256 erf(__m256 x) {
    x = _mm256_max_ps(_mm256_min_ps(x, broadcast(4)), broadcast(-4));
    const __m256 s = _mm256_mul_ps(x, x);
    __m256 p = broadcast(-2.72614225801306e-10f);
    p = _mm256_fmadd_ps(p, s, broadcast(2.77068142495902e-08f));
    p = _mm256_fmadd_ps(p, s, broadcast(-2.10102402082508e-06f));
    p = _mm256_fmadd_ps(p, s, broadcast(-5.69250639462346e-05f));
    p = _mm256_fmadd_ps(p, s, broadcast(-7.34990630326855e-04f));
    p = _mm256_fmadd_ps(p, s, broadcast(-2.95459980854025e-03f));
    p = _mm256_fmadd_ps(p, s, broadcast(-1.60960333262415e-02f));
    __m256 q = broadcast(-1.45660718464996e-05f);
    q = _mm256_fmadd_ps(q, s, broadcast(-2.13374055278905e-04f));
    q = _mm256_fmadd_ps(q, s, broadcast(-1.68282697438203e-03f));
    q = _mm256_fmadd_ps(q, s, broadcast(-7.37332916720468e-03f));
    q = _mm256_fmadd_ps(q, s, broadcast(-1.42647390514189e-02f));
    return _mm256_div_ps(_mm256_mul_ps(x, p), q);
}

AVX2 inline __m256 gelu(__m256 x) {
    const __m256 half = _mm256_mul_ps(x, broadcast(0.5f));
    return _mm256_fmadd_ps(half, erf(_mm256_mul_ps(x, broadcast(0.70710678f))), half);
}

// Converts the sums to floats and applies the epilogue.
struct AsFloats : Int8Epilogue {
    const float* a_scales;

    AsFloats at(int64_t i, int64_t j) const {
        const int64_t cell = i * ldy + j;
        const Int8Epilogue epilogue = {
            b_scales + j, bias == nullptr ? nullptr : bias + j, gelu, residual == nullptr ? nullptr : residual + cell,
            y + cell, ldy,
        };
        return {epilogue, a_scales + i};
    }

    AVX2 void store_half(int64_t i, int64_t j, __m256i sums, __m256 r_a_scale, __m256 r_b_scale) const {
        __m256 x = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), r_a_scale), r_b_scale);
        if (bias != nullptr) x = _mm256_add_ps(x, _mm256_loadu_ps(bias + j));
        if (gelu) x = halkspeech::gelu(x);
        if (residual != nullptr) x = _mm256_add_ps(x, _mm256_loadu_ps(residual + i * ldy + j));
        _mm256_storeu_ps(y + i * ldy + j, x);
    }

    template <int Rows>
    AVX2 void store(const Sums* sums) const {
        const __m256 one = _mm256_set1_ps(1);
        const __m256 left = _mm256_div_ps(one, _mm256_loadu_ps(b_scales));
        const __m256 right = _mm256_div_ps(one, _mm256_loadu_ps(b_scales + 8));
        UNROLL for (int i = 0; i < Rows; ++i) {
            const __m256 r_a_scale = _mm256_set1_ps(1 / a_scales[i]);
            store_half(i, 0, sums[i].left, r_a_scale, left);
            store_half(i, 8, sums[i].right, r_a_scale, right);
        }
    }

    template <typename Compute>
    void narrow(int64_t rows, int64_t columns, Compute compute) const {
        float wide[rows_at_once * panel_columns], added[rows_at_once * panel_columns] = {};
        float scales[panel_columns], biases[panel_columns] = {};
        std::fill_n(scales, panel_columns, 1.0f);
        std::copy_n(b_scales, columns, scales);
        if (bias != nullptr) std::copy_n(bias, columns, biases);
        for (int64_t i = 0; i < rows && residual != nullptr; ++i)
            std::copy_n(residual + i * ldy, columns, added + i * panel_columns);
        compute(AsFloats{{scales, biases, gelu, added, wide, panel_columns}, a_scales});
        for (int64_t i = 0; i < rows; ++i) std::copy_n(wide + i * panel_columns, columns, y + i * ldy);
    }
};

// A [Rows, k] multiplied by a panel.
template <int Rows, typename Output>
AVX2 void tile(int64_t k, const ActivationTile& a, const uint8_t* panel, const Output& output) {
    Sums sums[Rows];
    UNROLL for (int i = 0; i < Rows; ++i) sums[i].left = sums[i].right = _mm256_setzero_si256();
    const int64_t next_panel = panel_bytes(k);
    const Group* groups = a.groups.data();
    for (const uint8_t* u = panel; u < panel + next_panel; u += group_size * panel_columns, groups += Rows) {
        // A prefetch past the end is harmless.
        UNROLL for (int line = 0; line < 4; ++line)
            _mm_prefetch(reinterpret_cast<const char*>(u + next_panel + 64 * line), _MM_HINT_T1);
        UNROLL for (int i = 0; i < Rows; ++i) step<group_size / quad_size>(sums[i], groups[i].a, groups[i].shift, u);
    }
    Sums all[Rows];
    UNROLL for (int i = 0; i < Rows; ++i) all[i] = sums[i];
    for (const OutlierResidual& residual : a.residuals)
        step<1>(all[residual.row], residual.a, residual.shift, panel + residual.position * panel_columns);
    output.template store<Rows>(all);
}

template <typename Output>
using Tile = decltype(&tile<1, Output>);
template <typename Output>
constexpr Tile<Output> tiles[rows_at_once] = {
    tile<1, Output>, tile<2, Output>, tile<3, Output>, tile<4, Output>, tile<5, Output>
};

// Precedes packed weights.
struct Header {
    // Maximum sum of squares of the eight a of a sum.
    int64_t max_squares;
    int64_t unused[7];
};

int64_t pack(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed) {
    const auto bytes = static_cast<int64_t>(sizeof(Header)) + panels_of(n) * panel_bytes(k);
    if (packed == nullptr) return bytes;
    int8_t* to = packed + sizeof(Header);
    const int64_t to_next_column = transposed ? k : 1;
    const int64_t to_next_element = transposed ? 1 : n;
    int64_t largest = 1;
    for (int64_t first = 0; first < n; first += panel_columns) {
        int64_t squares[panel_columns][2] = {};
        for (int64_t p = 0; p < padded_depth(k); p += quad_size) {
            for (int64_t j = 0; j < panel_columns; ++j) {
                for (int64_t q = p; q < p + quad_size; ++q) {
                    const bool exists = first + j < n && q < k;
                    const int w = exists ? b[(first + j) * to_next_column + q * to_next_element] : 0;
                    squares[j][q / 2 % 2] += w * w;
                    *to++ = static_cast<int8_t>(w ^ -128);
                }
            }
            if ((p + quad_size) % group_size != 0) continue;
            for (auto& column_squares : squares) {
                largest = std::max({largest, column_squares[0], column_squares[1]});
                column_squares[0] = column_squares[1] = 0;
            }
        }
    }
    const Header header = {max_sum * max_sum / largest, {}};
    std::memcpy(packed, &header, sizeof header);
    return bytes;
}

// Multiplies A, whose tiles `prepare_tile` makes, by packed weights.
template <typename PrepareTile, typename Output>
void multiply_tiles(
    int64_t m, int64_t n, int64_t k, PrepareTile prepare_tile, const int8_t* packed, const Output& output
) {
    Header header;
    std::memcpy(&header, packed, sizeof header);
    const auto* weights = reinterpret_cast<const uint8_t*>(packed + sizeof header);
    // The calling thread reuses its tiles; the reference gives the other threads access to them.
    thread_local std::vector<ActivationTile> thread_tiles;
    auto& tiles_of_a = thread_tiles;
    const int64_t count = ceil_div(m, rows_at_once);
    if (static_cast<int64_t>(tiles_of_a.size()) < count) tiles_of_a.resize(static_cast<size_t>(count));
    std::atomic<bool> failed{false};
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t t = 0; t < count; ++t) {
        const int64_t i = t * rows_at_once;
        try {
            prepare_tile(tiles_of_a[static_cast<size_t>(t)], header.max_squares, std::min(rows_at_once, m - i), i);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    }
    if (failed) throw std::bad_alloc();

    const int64_t panels = panels_of(n);
    const int64_t at_once = std::clamp<int64_t>(panels / omp_get_max_threads(), 1, panels_at_once);
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t first = 0; first < panels; first += at_once) {
        for (int64_t t = 0; t < count; ++t) {
            const ActivationTile& a = tiles_of_a[static_cast<size_t>(t)];
            const auto& tile = tiles<Output>[a.rows - 1];
            for (int64_t at = first; at < std::min(first + at_once, panels); ++at) {
                const int64_t j = at * panel_columns;
                const int64_t columns = std::min(panel_columns, n - j);
                const uint8_t* panel = weights + at * panel_bytes(k);
                const Output cells = output.at(t * rows_at_once, j);
                if (columns == panel_columns)
                    tile(k, a, panel, cells);
                else
                    cells.narrow(a.rows, columns, [&](const Output& wide) { tile(k, a, panel, wide); });
            }
        }
    }
}

// Ignores the offsets, which compensate a shift of A by 128: here `prepare` removes the shift.
void multiply(
    int64_t m, int64_t n, int64_t k, const uint8_t* a, int64_t lda, const int8_t* packed, const int32_t*, int32_t* c,
    int64_t ldc
) {
    const auto prepare_tile = [=](ActivationTile& tile, int64_t max_squares, int64_t rows, int64_t first) {
        prepare(tile, max_squares, rows, k, a + first * lda, lda);
    };
    multiply_tiles(m, n, k, prepare_tile, packed, AsIntegers{c, ldc});
}

}  // namespace

const Int8Kernels avx2_int8_kernels = {pack, multiply};

void multiply_with_epilogue(
    int64_t m, int64_t n, int64_t k, const float* x, float* scales, const int8_t* packed, const Int8Epilogue& epilogue
) {
    const auto prepare_tile = [=](ActivationTile& tile, int64_t max_squares, int64_t rows, int64_t first) {
        prepare(tile, max_squares, rows, k, x + first * k, scales + first);
    };
    multiply_tiles(m, n, k, prepare_tile, packed, AsFloats{epilogue, scales});
}

}  // namespace halkspeech
